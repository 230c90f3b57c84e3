"""A generator whose call is on the record: it lasts until the generator is exhausted or closed.

The call and its run are current only while the generator's own frame runs, never in its consumer.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from instrument.decorators.calls import Call, begin
from instrument.decorators.target import Target


def steps(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The generator of a call of `target`; to be used up with ``yield from``."""
    call = begin(target, args, kwargs)
    return target.function(*args, **kwargs) if call is None else Steps(call, args, kwargs)


def async_steps(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """As `steps`, for an async generator: has ``asend``, ``athrow`` and ``aclose``."""
    call = begin(target, args, kwargs)
    return target.function(*args, **kwargs) if call is None else AsyncSteps(call, args, kwargs)


class Steps:
    """The generator protocol around the user's generator."""

    def __init__(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._call = call
        self._generator = _made(call, args, kwargs)

    def __iter__(self) -> "Steps":
        return self

    def __next__(self) -> Any:
        return self._step(self._generator.send, None)

    def send(self, value: Any) -> Any:
        """Go on with `value`."""
        return self._step(self._generator.send, value)

    def throw(self, kind: Any, value: Any = None, trace: Any = None) -> Any:
        """Raise in the generator; the three arguments are the interpreter's."""
        error = kind if isinstance(kind, BaseException) else value
        if not isinstance(error, BaseException):
            error = kind() if value is None else kind(value)
        return self._step(
            self._generator.throw, error if trace is None else error.with_traceback(trace)
        )

    def close(self) -> None:
        """End the generator early."""
        call = self._call
        call.enter()
        try:
            self._generator.close()
        except BaseException as error:
            call.raised(error)
            raise
        call.closed()

    def _step(self, advance: Callable[[Any], Any], argument: Any) -> Any:
        call = self._call
        call.enter()
        try:
            value = advance(argument)
        except StopIteration as stop:
            call.returned(stop.value)
            raise
        except BaseException as error:
            call.raised(error)
            raise
        call.yielded(value)
        return value


class AsyncSteps:
    """The async generator protocol around the user's async generator."""

    def __init__(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._call = call
        self._generator = _made(call, args, kwargs)

    def asend(self, value: Any) -> Awaitable[Any]:
        """Go on with `value`."""
        return self._step(self._generator.asend(value))

    def athrow(self, error: BaseException) -> Awaitable[Any]:
        """Raise `error` in the generator."""
        return self._step(self._generator.athrow(error))

    async def aclose(self) -> None:
        """End the generator early."""
        call = self._call
        call.enter()
        try:
            await self._generator.aclose()
        except BaseException as error:
            call.raised(error)
            raise
        call.closed()

    async def _step(self, advance: Awaitable[Any]) -> Any:
        call = self._call
        call.enter()
        try:
            value = await advance
        except StopAsyncIteration:
            call.returned(None)
            raise
        except BaseException as error:
            call.raised(error)
            raise
        call.yielded(value)
        return value


def _made(call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The user's generator; arguments that do not fit end the call."""
    try:
        return call.target.function(*args, **kwargs)
    except BaseException as error:
        call.enter()
        call.raised(error)
        raise
