"""One load of the user's: which calls belong to it, what it reads, and what is recorded of it.

The outermost call is the load. Calls inside it add the files they read; only an adapter that is
loaded on the way is a load of its own, and names the one it is part of.
"""

import itertools
import os
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

from instrument.intercept import session
from instrument.intercept.content import Content
from instrument.intercept.patching import Around
from instrument.intercept.session import Destination
from instrument.records import ModelLoaded
from instrument.redaction import redact_text

_SEPARATE: Final = frozenset({"adapter"})
_MAX_TEXT: Final = 2000
_numbers: Final = itertools.count(1)
_now: "ContextVar[Load | None]" = ContextVar("instrument_load", default=None)

Describe = Callable[["Load", Any], None]
"""Adds to a load what its result says of itself."""


class Load:
    """A load that goes on.

    Args:
        kind: As `ModelLoaded.what`.
        loader: The call.
        requested: What the call was asked for.
        destination: Where the record goes.
        outer: The load it is part of.
    """

    def __init__(
        self,
        kind: str,
        loader: str,
        requested: object,
        destination: Destination,
        outer: "Load | None",
    ) -> None:
        self.load_id = next(_numbers)
        self.kind = kind
        self.loader = loader
        self.library = _library(loader)
        self.requested = _name(requested)
        self.revision: str | None = None
        self.commit: str | None = None
        self.facts: dict[str, Any] = {}
        self.content = Content(self.load_id, destination.objects, destination.recorder)
        self._recorder = destination.recorder
        self._outer = outer
        self._call_site = call_site()
        self._started = time.perf_counter()

    def reads(self, path: object) -> None:
        """A file of this load; hashing it begins at once."""
        if isinstance(path, (str, os.PathLike)):
            self.content.add(Path(os.fsdecode(path)))

    def around(self, wrapped: Callable[..., Any], end: Describe, args: Any, kwargs: Any) -> Any:
        """Make the call, and record it as this load."""
        token = _now.set(self)
        error: BaseException | None = None
        result = None
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as raised:
            error = raised
            raise
        finally:
            _now.reset(token)
            self._end(end, result, error)
        return result

    def _end(self, end: Describe, result: Any, error: BaseException | None) -> None:
        try:
            if error is None:
                end(self, result)
            self.finish(error)
        except Exception as failure:
            self._recorder.problem(f"record a load by {self.loader}", failure)

    def finish(self, error: BaseException | None) -> None:
        """Write the record; that of the content follows when it is known."""
        self._recorder.record(
            ModelLoaded(
                load_id=self.load_id,
                what=self.kind,
                loader=self.loader,
                library=self.library,
                requested=self.requested,
                revision=self.revision,
                commit=self.commit,
                facts=self.facts,
                call_site=self._call_site,
                duration_seconds=time.perf_counter() - self._started,
                parent_load_id=self._outer.load_id if self._outer is not None else None,
                error=type(error).__name__ if error is not None else None,
            )
        )
        self.content.finish(self.requested)


def current_load() -> Load | None:
    """The load that the calling code is part of."""
    return _now.get()


def load_of(kind: str, loader: Callable[[Any], str], begin: Describe, end: Describe) -> Around:
    """What stands around a call that loads something.

    Args:
        kind: As `ModelLoaded.what`.
        loader: The name of the call, from what it is bound to.
        begin: Adds what the arguments say: gets ``(args, kwargs)``.
        end: Adds what the result says.
    """

    def around(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        outer = _now.get()
        found = session.find() if outer is None or kind in _SEPARATE - {outer.kind} else None
        load = None
        if found is not None:
            try:
                requested = args[0] if args else next(iter(kwargs.values()), None)
                load = Load(kind, loader(instance), requested, found, outer)
                begin(load, (args, kwargs))
            except Exception as error:
                found.recorder.problem(f"record a load of a {kind}", error)
        return (
            load.around(wrapped, end, args, kwargs)
            if load is not None
            else wrapped(*args, **kwargs)
        )

    return around


def call_site() -> str | None:
    """Where the user's code calls, as ``file:line``: the nearest frame that is no library's."""
    frame = sys._getframe(1)  # noqa: SLF001 - the documented way to look at callers
    here: Any = frame
    while here is not None:
        path = here.f_code.co_filename
        if not path.startswith(_LIBRARIES) and "site-packages" not in path and path[:1] != "<":
            return f"{os.path.basename(path)}:{here.f_lineno}"  # noqa: PTH119 - a string of a frame
        here = here.f_back
    return None


_LIBRARIES: Final = (
    str(Path(__file__).resolve().parent.parent) + os.sep,
    str(Path(os.__file__).parent) + os.sep,
)


def _library(loader: str) -> str:
    name = loader.partition(".")[0]
    version = getattr(sys.modules.get(name), "__version__", None)
    return f"{name} {version}" if version is not None else name


def _name(requested: object) -> str | None:
    if not isinstance(requested, (str, os.PathLike)):
        return None
    return redact_text(os.fsdecode(requested))[:_MAX_TEXT]
