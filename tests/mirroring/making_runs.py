"""Writes runs straight into a store, as the recorder would."""

import os
import socket
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from instrument.canonical import digest_of_bytes
from instrument.protocols import Draft, Records, Store
from instrument.records import (
    ArtifactLogged,
    Metrics,
    ProcessFinished,
    ProcessStarted,
    Record,
    RunFinished,
    RunStarted,
)
from instrument.vocabulary import ArtifactVersion, File, RunState

RUN_ID = "20260102-030405-0123456789ab"
BEGIN = datetime(2126, 1, 2, 3, 4, 5, tzinfo=UTC)  # after the stamps the store makes itself
FINISHED = RunFinished(state=RunState.COMPLETED, duration_seconds=2.5)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def process(run_id: str = RUN_ID, *, rank: int = 0, attempt: int = 1) -> ProcessStarted:
    return ProcessStarted(
        run_id=run_id,
        attempt=attempt,
        rank=rank,
        world_size=1,
        owner=rank == 0,
        writer_id=os.urandom(16).hex(),
        host=socket.gethostname(),
        boot_id=boot_id(),
        pid=os.getpid(),
        process_start=start_ticks(os.getpid()),
        command=tuple(sys.argv),
        directory=str(Path.cwd()),
        python=sys.version.split()[0],
        user=None,
        recorder_version="0",
    )


def started(name: str = "baseline", project: str | None = "trials") -> RunStarted:
    return RunStarted(
        name=name,
        project=project,
        tags=("first", "small"),
        function=None,
        parent_run_id=None,
        session_id=None,
        capture_level=1,
    )


def begin(store: Store, run_id: str = RUN_ID, *, attempt: int = 1) -> Records:
    """A run that has begun and goes on."""
    records = store.begin(process(run_id, attempt=attempt))
    records.take(started(), at(0))
    return records


def end(records: Records, finished: RunFinished = FINISHED) -> None:
    records.take(finished, at(1000))
    records.take(ProcessFinished(lost=0, overhead={}), at(1001))
    records.close()


def record_run(store: Store, *middle: Record, run_id: str = RUN_ID) -> None:
    """A run that has ended in order; `middle` was recorded a second apart."""
    records = begin(store, run_id)
    for second, record in enumerate(middle, start=1):
        records.take(record, at(second))
    end(records)


def loss(value: float | str, step: int | None) -> Metrics:
    return Metrics(values={"loss": value}, step=step)


def keep(store: Store, name: str, type_: str, files: dict[str, bytes]) -> ArtifactVersion:
    """An artifact version in the store."""
    kept = tuple(
        File(path=path, digest=store.put_bytes(data), size_bytes=len(data))
        for path, data in sorted(files.items())
    )
    listing = "".join(f"{file.digest} {file.path}\n" for file in kept).encode()
    draft = Draft(
        name=name,
        type=type_,
        digest=kept[0].digest if len(kept) == 1 else digest_of_bytes(listing),
        size_bytes=sum(file.size_bytes for file in kept),
        files=kept,
        is_tree=len(kept) > 1,
        format=None,
        run_id=RUN_ID,
        created_at=BEGIN,
        metadata={"epochs": 3},
    )
    return store.claim(draft)


def logged(version: ArtifactVersion) -> ArtifactLogged:
    return ArtifactLogged(
        ref=version.ref,
        type=version.type,
        digest=version.digest,
        size_bytes=version.size_bytes,
    )
