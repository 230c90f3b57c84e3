"""A run of several attempts: how long they ran together, the same on the page and in JSON."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from instrument.clock import SystemClock
from instrument.records import Metrics, RunFinished
from instrument.registry import open_store
from instrument.testing.samples import process_started
from instrument.vocabulary import RunState

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


def record_attempt(store: Any, number: int, begin: datetime, seconds: float, *, end: bool) -> None:
    journal = store.begin(process_started("again1", attempt=number))
    journal.take(Metrics(values={"loss": 0.5}, step=0), begin)
    last = begin + timedelta(seconds=seconds)
    if end:
        journal.take(RunFinished(state=RunState.COMPLETED, duration_seconds=seconds), last)
    else:
        journal.take(Metrics(values={"loss": 0.4}, step=1), last)
    journal.close()


class StoppedClock(SystemClock):
    """Journals tell their beginning by it."""

    def __init__(self) -> None:
        self.at = AT

    def now(self) -> datetime:
        return self.at


def shown(*arguments: str) -> str:
    command = [sys.executable, "-m", "instrument", "runs", "show", "again1", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_duration_is_that_of_all_attempts_without_the_time_between(store_path: Path) -> None:
    clock = StoppedClock()
    store = open_store("local", store_path, clock)
    record_attempt(store, 1, AT, 100.0, end=True)
    clock.at = AT + timedelta(hours=1)
    record_attempt(store, 2, clock.at, 40.0, end=False)  # killed: what its records span
    clock.at = AT + timedelta(hours=2)
    record_attempt(store, 3, clock.at, 5.0, end=True)
    store.seal("again1")
    found = json.loads(shown("--json"))
    assert (found["attempts"], found["duration_seconds"]) == (3, 145.0)
    assert found["started_at"] == "2026-11-21T12:00:00Z"
    assert found["ended_at"] == "2026-11-21T14:00:05Z"
    assert "took 2 min 25 s in 3 attempts" in shown()


def test_of_a_last_attempt_without_an_end_the_first_ones_count_too(store_path: Path) -> None:
    clock = StoppedClock()
    store = open_store("local", store_path, clock)
    record_attempt(store, 1, AT, 100.0, end=True)
    clock.at = AT + timedelta(hours=1)
    record_attempt(store, 2, clock.at, 40.0, end=False)
    run = store.run("again1")
    assert (run.state, run.duration_seconds) == (RunState.INTERRUPTED, 140.0)
