"""What recording costs the process that it records: measured, by part, while it goes on.

Two things are measured of each part: the time in which a thread of the user's waited for us
(*blocking*), and CPU time, of those threads while they waited and of our own. Our own threads are
told by their names, which begin with ``instrument-``; nobody waits while they work.

What takes long is measured each time (`Overhead.span`). What takes microseconds is estimated: the
first `OFTEN` calls are measured each, then one of `OFTEN`, which stands for as many, and after
about a thousand one of `SELDOM`: to measure a call costs as much as the call. A call that happened
to be held up would stand for many that were not: so all of them together are never told to have
taken longer than the time that has passed.
"""

import functools
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import chain, cycle, repeat
from time import perf_counter, process_time, thread_time
from typing import Any, Final, Self, TypeVar, cast

OFTEN: Final = 61
SELDOM: Final = 509
"""Primes: programs that do something else each tenth or hundredth step are seen as they are."""
_ONE_OF_FEW: Final = (*repeat(0, OFTEN - 1), OFTEN) * 16
_ONE_OF_MANY: Final = (*repeat(0, SELDOM - 1), SELDOM)
_F = TypeVar("_F", bound=Callable[..., Any])


class Overhead:
    """What recording one run costs this process. Any thread may call.

    Attributes:
        metrics_weights: Asked once for each call that logs metrics: how many such calls the time of
            this one stands for, 0 where it is not to be measured.
        calls_weights: The same for each start and each end of a decorated function's call.
        models_weights: The same for each call of a model.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may end the run
        self._blocking: defaultdict[str, float] = defaultdict(float)
        self._cpu: defaultdict[str, float] = defaultdict(float)
        self._beside = 0.0
        self._estimated: dict[str, tuple[float, float]] = {}
        self._began = perf_counter()
        self.metrics_weights = weights()
        self.calls_weights = weights()
        self.models_weights = weights()

    def span(self, part: str) -> "Span":
        """A block that is `part` of what recording costs."""
        return Span(part, self)

    def add(self, part: str, *, blocking: float | None, cpu: float) -> None:
        """Take account of `part`.

        Args:
            part: The part.
            blocking: Seconds that a thread of the user's waited; None of a thread of ours.
            cpu: CPU seconds.
        """
        with self._lock:
            self._cpu[part] += cpu
            if blocking is None:
                self._beside += cpu
            else:
                self._blocking[part] += blocking

    def estimate(self, part: str, weight: int, began: tuple[float, float]) -> None:
        """Take account of a call of the user's that stands for `weight` of them.

        Args:
            part: The part.
            weight: As `metrics_weights` gave it.
            began: What `clocks` said when it began.
        """
        now, cpu = perf_counter(), thread_time() - began[0]
        if _here.span is not None:
            return
        with self._lock:
            before, untold = self._estimated.get(part, (self._began, 0.0))
            untold += weight * (now - began[1])
            passed = min(untold, now - before)
            self._estimated[part] = now, untold - passed
            self.add(part, blocking=passed, cpu=weight * cpu)

    def seconds(self) -> float:
        """All until now: what users' threads waited, and CPU time of our own threads."""
        with self._lock:
            return sum(self._blocking.values()) + self._beside

    def told(self, duration_seconds: float) -> dict[str, float]:
        """As `instrument.records.ProcessFinished.overhead`, to the microsecond.

        Args:
            duration_seconds: How long this process has recorded.
        """
        with self._lock:
            told = {
                "blocking_seconds": sum(self._blocking.values()),
                "cpu_seconds": sum(self._cpu.values()),
                "duration_seconds": duration_seconds,
            }
            for part in sorted(self._cpu):
                if part in self._blocking:
                    told[f"{part}_blocking_seconds"] = self._blocking[part]
                told[f"{part}_cpu_seconds"] = self._cpu[part]
        return {name: round(seconds, 6) for name, seconds in told.items()}


class Span:
    """A block that is a part of what recording costs; inside another one it is a part of that.

    Args:
        part: Which part.
        overhead: What takes account of it; may be set until the block ends.
    """

    __slots__ = ("_began", "_cpu", "_part", "overhead")

    def __init__(self, part: str, overhead: Overhead | None = None) -> None:
        self._part = part
        self.overhead = overhead

    def __enter__(self) -> Self:
        if _here.span is None:
            _here.span = self
            self._cpu, self._began = clocks()
        return self

    def __exit__(self, *_: object) -> None:
        if _here.span is self:
            wall, cpu = perf_counter() - self._began, thread_time() - self._cpu
            _here.span = None
            if self.overhead is not None:
                self.overhead.add(self._part, blocking=None if _here.is_ours else wall, cpu=cpu)

    def helped(self, cpu: float) -> None:
        """Another thread worked `cpu` seconds for this block."""
        self._cpu -= cpu


class Sample(Span):
    """A block that stands for `weight` of them, as `Overhead.estimate` takes account of it.

    Args:
        part: Which part.
        weight: As one of the `weights` gave it.
        overhead: What takes account of it.
    """

    __slots__ = ("_weight",)

    def __init__(self, part: str, weight: int, overhead: Overhead) -> None:
        super().__init__(part, overhead)
        self._weight = weight

    def __exit__(self, *_: object) -> None:
        if _here.span is self:
            _here.span = None
            if self.overhead is not None:
                self.overhead.estimate(self._part, self._weight, (self._cpu, self._began))


class _Here(threading.local):
    """This thread: whether it is ours, and the block that it is in."""

    def __init__(self) -> None:
        self.is_ours = threading.current_thread().name.startswith("instrument-")
        self.span: Span | None = None


_here: Final = _Here()


def cpu_used() -> tuple[float, float]:
    """CPU seconds of this process, and of its children that have ended, to 10 ms."""
    counted = os.times()
    return process_time(), counted.children_user + counted.children_system


def clocks() -> tuple[float, float]:
    """CPU time of this thread, and the time, in seconds."""
    return thread_time(), perf_counter()


def weights() -> Iterator[int]:
    """Tells of each call in turn how many calls its time stands for; 0: it is not measured.

    In C: it is asked where nanoseconds count.
    """
    return chain(repeat(1, OFTEN), _ONE_OF_FEW, cycle(_ONE_OF_MANY))


def costs(part: str) -> Callable[[_F], _F]:
    """Makes of a method of a run one whose time is `part` of what recording that run costs."""

    def decorate(method: _F) -> _F:
        @functools.wraps(method)
        def measured(self: Any, *args: Any, **kwargs: Any) -> Any:
            with Span(part) as span:
                try:
                    return method(self, *args, **kwargs)
                finally:
                    recording = self.recording  # the method may have begun it
                    span.overhead = recording.overhead if recording is not None else None

        return cast("_F", measured)

    return decorate


def helping(work: Callable[[], None]) -> Callable[[], None]:
    """`work`, for another thread, as a part of the block that the calling thread is in."""
    span = _here.span

    def run() -> None:
        before = thread_time()
        try:
            work()
        finally:
            if span is not None:
                span.helped(thread_time() - before)

    return run
