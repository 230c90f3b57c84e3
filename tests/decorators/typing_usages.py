"""Usages that must type-check: each decorated function keeps the type that it had.

Checked by mypy with everything else; `test_decorator_typing.py` holds the other half: that wrong
calls are errors.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Any, TypeVar, assert_type

from instrument import checkpoint, reproducible, track_artifacts

T = TypeVar("T")


@reproducible
def bare(a: int, *, b: str = "b") -> float:
    return a + len(b)


@reproducible(name="named", capture_level=1, seed=42, deterministic=True)
def named(a: int) -> str:
    return str(a)


@track_artifacts(inputs=["dataset:v1"], outputs=("model", "metrics"))
def tracked(config: dict[str, float]) -> tuple[int, dict[str, float]]:
    return 1, config


@checkpoint(frequency=10, save_best=True, metric="accuracy", mode="max")
def generator(n: int) -> Generator[int, None, str]:
    yield n
    return "done"


@checkpoint
@track_artifacts
@reproducible
async def coroutine(n: int) -> int:
    return n


@checkpoint(frequency="step")
async def async_generator(n: int) -> AsyncIterator[int]:
    yield n


@reproducible(seed=1)
@track_artifacts(outputs=["same"])
def generic(value: T) -> T:
    return value


class Holder:
    @reproducible
    def method(self, a: int) -> int:
        return a

    @reproducible()
    @classmethod
    def class_above(cls, a: int) -> "Holder":
        return cls()

    @classmethod
    @reproducible()
    def class_below(cls, a: int) -> "Holder":
        return cls()

    @track_artifacts
    @staticmethod
    def static_above(a: int) -> int:
        return a

    @staticmethod
    @track_artifacts
    def static_below(a: int) -> int:
        return a


async def usages() -> None:
    """Never run; mypy reads it."""
    assert_type(bare(1, b="c"), float)
    assert_type(named(1), str)
    assert_type(tracked({"lr": 0.1}), tuple[int, dict[str, float]])
    assert_type(generator(1), Generator[int, None, str])
    assert_type(await coroutine(1), int)
    assert_type([item async for item in async_generator(1)], list[int])
    assert_type(generic("x"), str)
    assert_type(generic(1), int)
    assert_type(Holder().method(1), int)
    assert_type(Holder.class_above(1), Holder)
    assert_type(Holder.class_below(1), Holder)
    assert_type(Holder.static_above(1), int)
    assert_type(Holder.static_below(1), int)
    as_argument: Callable[[int], str] = named
    as_argument(1)
    as_coroutine: Callable[[int], Coroutine[Any, Any, int]] = coroutine
    await as_coroutine(1)
