"""COUNT runs in one process, 10 params and 20 metrics each: ``many_runs.py TRACKER COUNT``."""

import os
import sys
import time
from pathlib import Path

from benchmarks.scenarios.tell import tell
from benchmarks.scenarios.trackers import STORE, TRACKERS, Body, Log, Params


def floor(params: Params, body: Body) -> None:
    """One JSON file a run."""
    _write_json(params, body, durable=False)


def floor_durable(params: Params, body: Body) -> None:
    """One JSON file a run, synced once: about what this disk allows who keeps a run for good."""
    _write_json(params, body, durable=True)


def _write_json(params: Params, body: Body, *, durable: bool) -> None:
    import orjson

    metrics: list[tuple[int, float]] = []
    body(Log(lambda step, loss: metrics.append((step, loss))))
    with (STORE / f"{time.monotonic_ns()}.json").open("wb") as file:
        file.write(orjson.dumps({"params": params, "metrics": metrics}))
        file.flush()
        if durable:
            os.fsync(file.fileno())


def train(log: Log) -> None:
    for step in range(20):
        log.metric(step, 1 / (step + 1))


def stored() -> tuple[int, int]:
    """Names of files in the store, and its bytes on disk: a file with two names lies there once."""
    found = [path.stat() for path in Path(STORE).rglob("*") if path.is_file()]
    blocks = {status.st_ino: status.st_blocks for status in found}
    return len(found), sum(blocks.values()) * 512


def main(name: str, count: int) -> None:
    tracker = {"floor": floor, "floor_durable": floor_durable, **TRACKERS}[name]
    tracker({f"param{n}": 0.1 for n in range(10)}, train)  # the first pays for the imports
    files_before, bytes_before = stored()
    started = time.perf_counter()
    for number in range(count):
        tracker({f"param{n}": 0.1 * number for n in range(10)}, train)
    tell("ms_a_run", (time.perf_counter() - started) * 1000 / count)
    files, size = stored()
    tell("files_a_run", (files - files_before) / count)
    tell("kib_a_run", (size - bytes_before) / count / 1024)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
