"""A store with a small history, told through journals as a run tells it."""

from collections.abc import Callable
from typing import Any

import pytest

from instrument.artifacts import log_value
from instrument.clock import SystemClock
from instrument.protocols import Store
from instrument.records import (
    ArtifactLogged,
    ArtifactUsed,
    ProcessFinished,
    ProcessStarted,
    RunFinished,
    RunStarted,
)
from instrument.testing.memory import MemoryBackend
from instrument.vocabulary import RunState

Tell = Callable[..., str]


@pytest.fixture
def store() -> Store:
    return MemoryBackend()


@pytest.fixture
def log(store: Store) -> Callable[..., str]:
    """Logs a value; returns its reference."""

    def call(name: str, data: Any, **arguments: Any) -> str:
        arguments = {"type": name, "clock": SystemClock(), **arguments}
        return log_value(store, name=name, data=data, **arguments).ref

    return call


@pytest.fixture
def run(store: Store) -> Tell:
    """Records a run that used and made what it is told; returns its id."""

    def call(run_id: str, used: list[str], made: list[str], name: str = "") -> str:
        now = SystemClock().now
        process = ProcessStarted(
            run_id=run_id, attempt=1, rank=0, world_size=1, owner=True, writer_id="0" * 32,
            host="host", boot_id=None, pid=1, process_start=None, command=(), directory=None,
            python="3.11", user=None, recorder_version="0",
        )  # fmt: skip
        started = RunStarted(
            name=name, project=None, tags=(), function=None, parent_run_id=None, session_id=None,
            capture_level=1,
        )  # fmt: skip
        journal = store.begin(process)
        journal.take(started, now())
        for ref in used:
            journal.take(ArtifactUsed(ref=ref, type="x", digest="", requested=ref), now())
        for ref in made:
            journal.take(ArtifactLogged(ref=ref, type="x", digest="", size_bytes=0), now())
        journal.take(RunFinished(state=RunState.COMPLETED, duration_seconds=1.0), now())
        journal.take(ProcessFinished(lost=0, overhead={}), now())
        journal.close()
        return run_id

    return call
