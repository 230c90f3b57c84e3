"""One metric a call, COUNT times: ``metric_call.py TRACKER COUNT``."""

import os
import sys

from benchmarks.scenarios.latency import time_calls
from benchmarks.scenarios.trackers import STORE, TRACKERS, Body, Log, Params


def floor(params: Params, body: Body) -> None:
    """The least that keeps a metric through a kill -9: serialise it and write it, once each."""
    import orjson

    journal = os.open(STORE / "floor.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def metric(step: int, loss: float) -> None:
        line = orjson.dumps({"step": step, "loss": loss}, option=orjson.OPT_APPEND_NEWLINE)
        os.write(journal, line)

    body(Log(metric))
    os.close(journal)


def main(name: str, count: int) -> None:
    tracker = floor if name == "floor" else TRACKERS[name]
    tracker({"lr": 0.1}, lambda log: time_calls(lambda step: log.metric(step, 0.1), count))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
