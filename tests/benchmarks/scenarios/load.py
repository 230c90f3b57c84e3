"""Load a safetensors file bare, with its digest known, and with hashing beside: ``load.py _ PATH``.

They take turns with a bare load in one process, on a file that the kernel has in memory: the
hardest case.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.scenarios.tell import tell
from safetensors.numpy import load_file

from instrument import ExperimentContext

PAIRS = 24
SETTLED_SECONDS = 2.5  # a digest is kept of files that have not changed for so long


def bare(path: Path) -> float:
    before = time.perf_counter()
    load_file(path)
    return time.perf_counter() - before


def recorded(path: Path) -> float:
    with ExperimentContext(monitor_hardware=False, capture_level=1):
        return bare(path)


def compare(path: Path, prepare: Callable[[int], None]) -> tuple[float, float]:
    """The fastest bare load, in seconds, and the fastest recorded one as a multiple of it.

    The fastest of each, as `timeit` has it: a copy of 1 GiB that a busy machine held up takes up to
    eight times as long, and tells nothing of us. Now one is first, now the other.
    """
    took: dict[Callable[[Path], float], list[float]] = {bare: [], recorded: []}
    for number in range(PAIRS):
        prepare(number)
        for load in (bare, recorded) if number % 2 else (recorded, bare):
            took[load].append(load(path))
    return min(took[bare]), min(took[recorded]) / min(took[bare])


if __name__ == "__main__":
    file = Path(sys.argv[2])
    time.sleep(SETTLED_SECONDS)
    recorded(file)
    bare_seconds, known_ratio = compare(file, lambda _: None)
    tell("bare_s", bare_seconds)
    tell("known_ratio", known_ratio)
    # Each time another state of the file: it is hashed again.
    tell("beside_ratio", compare(file, lambda number: os.utime(file, (number, number)))[1])
