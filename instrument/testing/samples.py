"""Small, complete values for tests: records, drafts and whole runs."""

import hashlib
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from instrument.protocols import Draft, Store
from instrument.records import (
    Metrics,
    Params,
    ProcessFinished,
    ProcessStarted,
    Record,
    RunFinished,
    RunStarted,
)
from instrument.vocabulary import File, RunState

AT = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)


def process_started(
    run_id: str, *, attempt: int = 1, rank: int = 0, **fields: Any
) -> ProcessStarted:
    """The first record of a journal, with everything that does not matter filled in."""
    values: dict[str, Any] = {
        "world_size": 1,
        "owner": rank == 0,
        "writer_id": "0" * 32,
        "host": "host-1",
        "boot_id": None,
        "pid": 1000 + rank,
        "process_start": None,
        "command": ("train.py",),
        "directory": None,
        "python": "3.11",
        "user": None,
        "recorder_version": "0",
    }
    return ProcessStarted(run_id=run_id, attempt=attempt, rank=rank, **(values | fields))


def run_started(name: str, *tags: str) -> RunStarted:
    """The record that a run begins."""
    return RunStarted(
        name=name,
        project=None,
        tags=tags,
        function=None,
        parent_run_id=None,
        session_id=None,
        capture_level=1,
    )


def draft(name: str, content: bytes, **fields: Any) -> Draft:
    """A draft of a one-file artifact that holds `content`."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    file = File(path="data", digest=digest, size_bytes=len(content))
    values: dict[str, Any] = {
        "type": "model",
        "digest": digest,
        "size_bytes": len(content),
        "files": (file,),
        "is_tree": False,
        "format": None,
        "run_id": None,
        "created_at": AT,
    }
    return Draft(name=name, **(values | fields))


def record_run(store: Store, run_id: str, *records: Record, finish: bool = True) -> None:
    """Record a whole run of one process in `store`; without `finish` it ends like a crash."""
    journal = store.begin(process_started(run_id))
    for record in records:
        journal.take(record, AT)
    if finish:
        journal.take(RunFinished(state=RunState.COMPLETED, duration_seconds=1.5), AT)
        journal.take(ProcessFinished(lost=0, overhead={}), AT)
    journal.close()


def together(calls: Iterable[Callable[[], Any]]) -> list[Any]:
    """The results of `calls`, all started at once."""
    waiting = list(calls)
    barrier = threading.Barrier(len(waiting))

    def go(call: Callable[[], Any]) -> Any:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(waiting)) as pool:
        return list(pool.map(go, waiting))


def varied_runs(store: Store) -> None:
    """Runs that differ in every way the query language can see."""
    record_run(
        store,
        "run-0001",
        run_started("run 1", "base", "x"),
        Params(values={"lr": 0.1, "model": "a small one", "flag": True}, source="config"),
        Metrics(values={"loss": 0.25, "nan": "NaN", "big": "Infinity"}, step=1),
    )
    record_run(
        store,
        "run-0002",
        run_started("run 2"),
        Params(values={"lr": "0.1", "model": ["small"], "flag": 1}, source="config"),
        Metrics(values={"loss": 3}, step=1),
    )
    record_run(
        store,
        "run-0003",
        run_started("run 3", "base"),
        Params(values={"lr": None}, source="config"),
        finish=False,
    )
