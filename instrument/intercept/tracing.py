"""Functions that are recorded by their names: as if they were decorated, in code nobody may edit.

A name is wrapped when its module is imported, and only while a run is open. What each call records
is the business of the room of the decorators, which stands above this one: it is found by its name,
as interceptors are.
"""

import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Final

import msgspec

from instrument.errors import UsageError
from instrument.intercept import session, switch
from instrument.intercept.libraries import LIBRARIES, Library
from instrument.intercept.targets import Target
from instrument.protocols import Recorder
from instrument.records import EnvironmentCaptured
from instrument.vocabulary import Health

PART: Final = "trace"
_WRAPPING: Final = "instrument.decorators.traced"
_names: Final[dict[str, set[str]]] = {}
_recorded: "Final[dict[_Function, tuple[Any, Callable[..., Any]]]]" = {}


def module_and_function(name: str) -> tuple[str, str]:
    """Where a traced function is.

    >>> module_and_function("pkg.train")
    ('pkg', 'train')
    >>> module_and_function("pkg.mod:Class.method")
    ('pkg.mod', 'Class.method')

    Raises:
        UsageError: `name` names no function.
    """
    colon = ":" in name
    module, _, function = name.partition(":") if colon else name.rpartition(".")
    parts = [*module.split("."), *function.split(".")]
    if not all(part.isidentifier() for part in parts) or len(function.split(".")) > 2:  # noqa: PLR2004 - Class.method
        raise UsageError(
            f"trace={name!r:.200} names no function; use module.function or module:Class.method"
        )
    return module, function


def roots(names: Iterable[str]) -> set[str]:
    """The top-level modules that functions called `names` are in."""
    return {module_and_function(name)[0].partition(".")[0] for name in names}


class _Traced(Library, frozen=True):
    """A module of anybody's with functions that are traced."""

    def supports(self, version: str | None) -> bool:  # noqa: ARG002 - any version
        return True

    def targets(self, module: str) -> tuple[Target, ...]:
        """The functions to wrap in `module`."""
        return tuple(
            Target(module, name, _Function(module, name)) for name in sorted(_names.get(module, ()))
        )


def trace_functions(names: Iterable[str]) -> None:
    """Record the calls of the functions called `names`, in all runs of this process from now on.

    Raises:
        UsageError: One of them names no function.
    """
    found = [module_and_function(name) for name in names]
    for module, function in found:
        if any(module in library.modules for library in LIBRARIES):
            raise UsageError(
                f"trace={module}:{function} cannot be traced: calls of {module} are recorded anyhow"
            )
    for module, function in found:
        _names.setdefault(module, set()).add(function)
    for module in dict.fromkeys(module for module, _ in found):
        root = module.partition(".")[0]
        switch.watch_library(_Traced(root, (), (), {module: _WRAPPING}, PART))


def tell_unseen(recorder: Recorder) -> None:
    """Say of each traced module that was not imported in the run that it was not."""
    unseen = [
        Health(
            part=f"interception of {module}",
            status="skipped",
            reason=f"a process did not import it, so no call of {', '.join(sorted(functions))} is "
            "recorded there",
        )
        for module, functions in _names.items()
        if module not in sys.modules
    ]
    if unseen:
        recorder.record(EnvironmentCaptured(level=1, snapshot=None, health=tuple(unseen)))


class _Function(msgspec.Struct, frozen=True):
    """What stands around a traced function: a closure that records its calls, made once."""

    module: str
    name: str

    def __call__(
        self,
        wrapped: Callable[..., Any],
        instance: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        if session.find() is None:
            return wrapped(*args, **kwargs)
        function = getattr(wrapped, "__func__", wrapped)
        made, recording = _recorded.get(self, (None, None))
        if recording is None or made is not function:
            recording = import_module(_WRAPPING).recorded(function)
            _recorded[self] = function, recording
        bound = () if function is wrapped else (instance,)
        return recording(*bound, *args, **kwargs)
