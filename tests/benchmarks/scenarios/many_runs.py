"""COUNT runs in one process, 10 params and 20 metrics each: ``many_runs.py TRACKER COUNT``."""

import sys
import time
from pathlib import Path

from benchmarks.scenarios.tell import tell
from benchmarks.scenarios.trackers import STORE, TRACKERS, Body, Log, Params


def floor(params: Params, body: Body) -> None:
    """One JSON file a run."""
    import orjson

    metrics: list[tuple[int, float]] = []
    body(Log(lambda step, loss: metrics.append((step, loss))))
    path = STORE / f"{time.monotonic_ns()}.json"
    path.write_bytes(orjson.dumps({"params": params, "metrics": metrics}))


def train(log: Log) -> None:
    for step in range(20):
        log.metric(step, 1 / (step + 1))


def stored() -> tuple[int, int]:
    """Files and bytes on disk in the store."""
    files = [path for path in Path(STORE).rglob("*") if path.is_file()]
    return len(files), sum(path.stat().st_blocks * 512 for path in files)


def main(name: str, count: int) -> None:
    tracker = floor if name == "floor" else TRACKERS[name]
    tracker({f"param{n}": 0.1 for n in range(10)}, train)  # the first pays for the imports
    files_before, bytes_before = stored()
    started = time.perf_counter()
    for number in range(count):
        tracker({f"param{n}": 0.1 * number for n in range(10)}, train)
    tell("ms_a_run", (time.perf_counter() - started) * 1000 / count)
    files, size = stored()
    tell("files_a_run", (files - files_before) / count)
    tell("kb_a_run", (size - bytes_before) / count / 1000)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
