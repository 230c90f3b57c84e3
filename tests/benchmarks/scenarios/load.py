"""Load a safetensors file bare, with its digest known, and with hashing beside: ``load.py _ PATH``.

They take turns with a bare load in one process, on a file that the kernel has in memory: the
hardest case.
"""

import os
import statistics
import sys
import time
from pathlib import Path

from benchmarks.scenarios.tell import tell
from safetensors.numpy import load_file

from instrument import ExperimentContext

ROUNDS = 7
SETTLED_SECONDS = 2.5  # a digest is kept of files that have not changed for so long


def bare(path: Path) -> float:
    before = time.perf_counter()
    load_file(path)
    return time.perf_counter() - before


def recorded(path: Path) -> float:
    with ExperimentContext(monitor_hardware=False, capture_level=1):
        return bare(path)


def ratio(pairs: list[tuple[float, float]]) -> float:
    """The median of what two loads, one after the other, took: busy machines are busy for both."""
    return statistics.median(observed / alone for alone, observed in pairs)


if __name__ == "__main__":
    file = Path(sys.argv[2])
    time.sleep(SETTLED_SECONDS)
    recorded(file)
    pairs = [(bare(file), recorded(file)) for _ in range(ROUNDS)]
    tell("bare_s", statistics.median(alone for alone, _ in pairs))
    tell("known_ratio", ratio(pairs))
    pairs = []
    for number in range(ROUNDS):
        os.utime(file, (number, number))  # another state of the file: it is hashed again
        pairs.append((bare(file), recorded(file)))
    tell("beside_ratio", ratio(pairs))
