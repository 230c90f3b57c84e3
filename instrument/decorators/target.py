"""A decorated function and what its decorators ask for."""

import inspect
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, Protocol

from instrument.canonical import digest_of_bytes
from instrument.context import ExperimentContext
from instrument.decorators.arguments import Parameters


class Called(Protocol):
    """A call, as aspects see it (`instrument.decorators.calls.Call`).

    Attributes:
        target: What is called.
        run: The run it takes part in.
        id: Its number in this process's journal.
        owns: Whether `run` was opened for this call and ends with it.
        memory: What aspects remember from call to call in this run, by keys of their own.
    """

    target: "Target"
    run: ExperimentContext
    id: int
    owns: bool
    memory: dict[Any, Any]


class Aspect:
    """What one decorator adds to each call. Plain data, so that it travels to other processes.

    Attributes:
        rank: Aspects of one function work in the order of their ranks, however they are stacked.
        changes_results: Whether `unrecorded` has work.
    """

    rank = 0
    changes_results = False

    def check(self, target: "Target") -> None:
        """Refuse, at decoration, a function that it cannot work on.

        Raises:
            UsageError: `target` is of the wrong kind.
        """

    def unrecorded(self) -> None:
        """Do before a call that is not recorded what the user's results depend on."""

    def before(self, call: Called) -> None:
        """Work before the function runs.

        Raises:
            UsageError, NotFoundError: The user's own error; the function does not run.
        """

    def yielded(self, call: Called, value: Any) -> None:
        """Work on what the generator yields."""

    def after(self, call: Called, value: Any) -> None:
        """Work on what the function returned, or the generator at its end."""


class Target:
    """One decorated function. Survives pickle and cloudpickle with all it knows.

    Args:
        function: The user's function.
        aspects: What its decorators ask for.
        options: Arguments of the `ExperimentContext` that a call opens where no run is open.

    Attributes:
        is_stepwise: Whether a call goes on after control has come back to its caller.
        preparing: The aspects that have work before a call.
        keeping: The aspects that have work after it.
        always: The aspects that have work before a call that is not recorded.
    """

    def __init__(
        self, function: Callable[..., Any], aspects: tuple[Aspect, ...], options: dict[str, Any]
    ) -> None:
        self.function = function
        self.aspects = tuple(sorted(aspects, key=lambda aspect: aspect.rank))
        self.options = options
        named = inspect.unwrap(function)
        while isinstance(named, partial):
            named = named.func
        qualname = getattr(named, "__qualname__", type(named).__qualname__)
        self.name = f"{getattr(named, '__module__', None)}:{qualname}"
        self.short_name = qualname.rpartition(".")[2]
        self.is_generator = inspect.isgeneratorfunction(function)
        self.is_async_generator = inspect.isasyncgenfunction(function)
        self.is_coroutine = inspect.iscoroutinefunction(function)
        self.is_stepwise = self.is_generator or self.is_async_generator
        self.preparing = tuple(a for a in self.aspects if type(a).before is not Aspect.before)
        self.keeping = tuple(a for a in self.aspects if type(a).after is not Aspect.after)
        self.always = tuple(a for a in self.aspects if a.changes_results)
        for aspect in self.aspects:
            aspect.check(self)

    def __getstate__(self) -> dict[str, Any]:
        """All it knows, the digest of its source too: where it goes there may be no source."""
        return {**vars(self), "source_digest": self.source_digest}

    def adding(self, aspect: Aspect, options: dict[str, Any]) -> "Target":
        """The same function with one decorator more; its options win, being the outer ones."""
        return Target(self.function, (*self.aspects, aspect), {**self.options, **options})

    @cached_property
    def parameters(self) -> Parameters:
        """Its parameters."""
        return Parameters(self.function)

    @cached_property
    def source_digest(self) -> str | None:
        """Digest of its source text, or None where there is none to read."""
        try:
            return digest_of_bytes(inspect.getsource(self.function).encode())
        except Exception:  # no file, no function, or a text that does not parse
            return None

    def unrecorded(self) -> None:
        """Prepare a call that is not recorded.

        Raises:
            UsageError: An aspect found an error of the user's.
        """
        for aspect in self.always:
            aspect.unrecorded()

    def open_run(self) -> ExperimentContext:
        """A run for a call of it, not started."""
        return ExperimentContext(**{"name": self.short_name, **self.options})
