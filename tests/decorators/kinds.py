"""The kinds of callable that a decorator meets, and how to use each of them up."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, NamedTuple

Decorate = Callable[[Any], Any]


def _function(value: Any, fail: BaseException | None = None, *, note: str = "n") -> Any:
    """The function's own words."""
    if fail is not None:
        raise fail
    return value


async def _coroutine(value: Any, fail: BaseException | None = None, *, note: str = "n") -> Any:
    """The function's own words."""
    await asyncio.sleep(0)
    if fail is not None:
        raise fail
    return value


def _generator(
    value: Any, fail: BaseException | None = None, *, note: str = "n"
) -> Generator[Any, Any, Any]:
    """The function's own words."""
    yield value
    if fail is not None:
        raise fail
    return value


async def _async_generator(
    value: Any, fail: BaseException | None = None, *, note: str = "n"
) -> AsyncIterator[Any]:
    """The function's own words."""
    await asyncio.sleep(0)
    yield value
    if fail is not None:
        raise fail


def _method(self: Any, value: Any, fail: BaseException | None = None, *, note: str = "n") -> Any:
    """The method's own words."""
    return _function(value, fail)


async def _async_method(
    self: Any, value: Any, fail: BaseException | None = None, *, note: str = "n"
) -> Any:
    """The method's own words."""
    return await _coroutine(value, fail)


def _generator_method(
    self: Any, value: Any, fail: BaseException | None = None, *, note: str = "n"
) -> Generator[Any, Any, Any]:
    """The method's own words."""
    return (yield from _generator(value, fail))


async def _async_generator_method(
    self: Any, value: Any, fail: BaseException | None = None, *, note: str = "n"
) -> AsyncIterator[Any]:
    """The method's own words."""
    async for item in _async_generator(value, fail):
        yield item


class Built(NamedTuple):
    """A callable, decorated and not."""

    decorated: Any
    plain: Any


def _as_function(function: Any) -> Callable[[Decorate], Built]:
    return lambda decorate: Built(decorate(function), function)


def _as_method(function: Any, inner: Any = None, outer: Any = None) -> Callable[[Decorate], Built]:
    """As an attribute of an instance, with `inner` under our decorator and `outer` above it."""

    def build(decorate: Decorate) -> Built:
        below = inner or _same
        above = outer or _same
        decorated = type("Holder", (), {"work": above(decorate(below(function)))})()
        plain = type("Holder", (), {"work": above(below(function))})()
        return Built(decorated.work, plain.work)

    return build


def _same(function: Any) -> Any:
    return function


KINDS: dict[str, Callable[[Decorate], Built]] = {
    "function": _as_function(_function),
    "method": _as_method(_method),
    "classmethod, ours above": _as_method(_method, inner=classmethod),
    "classmethod, ours below": _as_method(_method, outer=classmethod),
    "staticmethod, ours above": _as_method(_function, inner=staticmethod),
    "staticmethod, ours below": _as_method(_function, outer=staticmethod),
    "coroutine": _as_function(_coroutine),
    "coroutine method": _as_method(_async_method),
    "generator": _as_function(_generator),
    "generator method": _as_method(_generator_method),
    "async generator": _as_function(_async_generator),
    "async classmethod, ours above": _as_method(_async_method, inner=classmethod),
    "async generator method": _as_method(_async_generator_method),
}


def use_up(made: Any) -> tuple[list[Any], Any]:
    """What calling gave, run to its end: the values it yielded, and the one it returned."""
    if inspect.iscoroutine(made):
        return [], asyncio.run(made)
    if inspect.isasyncgen(made):
        return asyncio.run(_collect(made)), None
    if inspect.isgenerator(made):
        yielded = []
        while True:
            try:
                yielded.append(next(made))
            except StopIteration as stop:
                return yielded, stop.value
    return [], made


async def _collect(made: AsyncIterator[Any]) -> list[Any]:
    return [value async for value in made]
