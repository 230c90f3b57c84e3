"""A trivial tracked run: start, 3 params, 10 metrics, finish."""

import sys

from benchmarks.scenarios.tell import tell_now
from benchmarks.scenarios.trackers import TRACKERS, Log


def train(log: Log) -> None:
    """What the user's own lines are."""
    tell_now("first_line")
    for step in range(10):
        log.metric(step, 1 / (step + 1))
    tell_now("last_line")


if __name__ == "__main__":
    TRACKERS[sys.argv[1]]({"lr": 0.1, "epochs": 3, "model": "small"}, train)
