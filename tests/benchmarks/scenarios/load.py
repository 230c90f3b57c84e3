"""Load a safetensors file bare, with its digest known, and with hashing beside: ``load.py _ PATH``.

The three take turns in one process, on a file that the kernel has in memory: the hardest case.
"""

import os
import statistics
import sys
import time
from pathlib import Path

from benchmarks.scenarios.tell import tell
from safetensors.numpy import load_file

from instrument import ExperimentContext

ROUNDS = 5
SETTLED_SECONDS = 2.5  # a digest is kept of files that have not changed for so long


def bare(path: Path) -> float:
    before = time.perf_counter()
    load_file(path)
    return time.perf_counter() - before


def recorded(path: Path) -> float:
    with ExperimentContext(monitor_hardware=False, capture_level=1):
        return bare(path)


if __name__ == "__main__":
    file = Path(sys.argv[2])
    time.sleep(SETTLED_SECONDS)
    recorded(file)
    seconds: dict[str, list[float]] = {"bare": [], "known": [], "beside": []}
    for _ in range(ROUNDS):
        seconds["bare"].append(bare(file))
        seconds["known"].append(recorded(file))
    for number in range(ROUNDS):
        seconds["bare"].append(bare(file))
        os.utime(file, (number, number))  # another state of the file: it is hashed again
        seconds["beside"].append(recorded(file))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    tell("bare_s", medians["bare"])
    tell("known_ratio", medians["known"] / medians["bare"])
    tell("beside_ratio", medians["beside"] / medians["bare"])
