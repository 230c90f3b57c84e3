"""Time single calls, and tell their mean, median and 99th percentile in µs."""

import gc
from array import array
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns

from benchmarks.scenarios.tell import tell


def time_calls(call: Callable[[int], object], count: int) -> None:
    """Call ``call(0)`` … ``call(count - 1)``; the first twentieth warms up and is not counted."""
    warm = count // 20
    for step in range(warm):
        call(step)
    took = array("q", bytes(8 * (count - warm)))
    gc.collect()
    resident_before = _resident_bytes()
    for step in range(warm, count):
        started = perf_counter_ns()
        call(step)
        took[step - warm] = perf_counter_ns() - started
    grown = _resident_bytes() - resident_before
    ordered = sorted(took)
    tell("mean_us", sum(ordered) / len(ordered) / 1000)
    tell("p50_us", ordered[len(ordered) // 2] / 1000)
    tell("p99_us", ordered[len(ordered) * 99 // 100] / 1000)
    tell("grown_mb", grown / 1e6)


def time_batches(call: Callable[[int, int], object], count: int, batches: int = 20) -> None:
    """Call ``call(1, 2)``, too short to be timed alone: the median over batches, per call.

    The loop's own cost is taken off.
    """
    size = count // batches
    costs = sorted(_batch(call, size) for _ in range(batches))
    tell("call_us", (costs[batches // 2] - min(map(_empty_batch, [size] * 5))) / size / 1000)


def _batch(call: Callable[[int, int], object], count: int) -> int:
    started = perf_counter_ns()
    for _ in range(count):
        call(1, 2)
    return perf_counter_ns() - started


def _empty_batch(count: int) -> int:
    started = perf_counter_ns()
    for _ in range(count):
        pass
    return perf_counter_ns() - started


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
