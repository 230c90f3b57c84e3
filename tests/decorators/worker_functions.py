"""Decorated functions in an importable module, for other processes to import."""

from collections.abc import AsyncIterator, Iterator

from instrument import checkpoint, log_metrics, reproducible, track_artifacts


@reproducible(name="worker", seed=3)
def double(n: int) -> int:
    log_metrics({f"n{n}": n})
    return 2 * n


@track_artifacts(outputs=["part"])
@reproducible
def stacked(n: int) -> int:
    return 2 * n


@checkpoint(save_best=False, frequency=100)
def counted(n: int) -> Iterator[int]:
    yield 2 * n


@reproducible
async def later(n: int) -> int:
    return 2 * n


@reproducible
async def several(n: int) -> AsyncIterator[int]:
    yield 2 * n


class Worker:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    @reproducible
    def times(self, n: int) -> int:
        return self.factor * n

    @classmethod
    @reproducible
    def of_class(cls, n: int) -> int:
        return 2 * n

    @reproducible
    @staticmethod
    def of_nobody(n: int) -> int:
        return 2 * n
