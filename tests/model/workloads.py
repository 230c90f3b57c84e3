"""What the crash model does to a store, and what each step promises once it has returned."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from instrument.audit import VersionsMade
from instrument.cli.retention import policy
from instrument.clock import SystemClock
from instrument.errors import NotFoundError
from instrument.naming import parse_reference
from instrument.protocols.upkeep import Scope
from instrument.records import (
    ArtifactLogged,
    EnvironmentCaptured,
    Metrics,
    ProcessFinished,
    RunFinished,
)
from instrument.testing.samples import AT, draft, process_started, record_run, run_started
from instrument.vocabulary import ArtifactVersion, RunState
from instrument_local import LocalStore

Promise = Callable[[LocalStore], None]
Workload = Callable[[LocalStore, Path], Iterator[Promise]]

RUN = "20260304-050607-0123456789ab"
OTHER = "20260304-050608-0123456789ab"
LATER = "20260304-050609-0123456789ab"


def dead_process() -> dict[str, Any]:
    """A process of this host before its last start: it can be seen to be dead."""
    return {"host": os.uname().nodename, "boot_id": "0" * 36, "pid": os.getpid()}


def has_object(data: bytes, digest: str) -> Promise:
    def check(store: LocalStore) -> None:
        assert store.get_bytes(digest) == data

    return check


def points(reference: str, version: int) -> Promise:
    def check(store: LocalStore) -> None:
        assert store.resolve(parse_reference(reference)).version == version

    return check


def has_steps(run_id: str, count: int) -> Promise:
    def check(store: LocalStore) -> None:
        entries = store.entries(run_id)
        steps = [each.record.step for each in entries if isinstance(each.record, Metrics)]
        assert steps[:count] == list(range(count))

    return check


def is_completed(run_id: str, attempt: int = 1, *, summary: bool = False) -> Promise:
    def check(store: LocalStore) -> None:
        run = store.run(run_id)
        assert run.state is RunState.COMPLETED or run.attempts > attempt
        assert run_id in {run.id for run in store.runs()}
        assert not summary or store.verify(run_id).runs == 1

    return check


def has_events(count: int) -> Promise:
    def check(store: LocalStore) -> None:
        assert sum(1 for _ in store.ledger.entries()) >= count

    return check


def objects(store: LocalStore, place: Path) -> Iterator[Promise]:
    """Objects from memory and from files, some in one directory, some there already."""
    for data in (b"one", b"two", b"one"):
        yield has_object(data, store.put_bytes(data))
    sources = [place / f"{number}.bin" for number in range(3)]
    for number, source in enumerate(sources):
        source.write_bytes(b"file %d" % (number // 2))
    yield has_object(b"file 0", store.put_file(sources[0]).digest)
    stored = store.put_files(sources)
    yield has_object(b"file 0", stored[1].digest)
    yield has_object(b"file 1", stored[2].digest)


def versions(store: LocalStore, place: Path) -> Iterator[Promise]:
    """Versions, content that is there already, aliases."""
    for number, content in enumerate((b"a", b"b"), start=1):
        yield has_object(content, store.put_bytes(content))
        store.claim(draft("model", content))
        yield points(f"model:v{number}", number)
    store.claim(draft("model", b"a"))
    yield points("model:latest", 1)
    store.tag(parse_reference("model:v2"), "best", AT)
    yield points("model:best", 2)
    yield has_events(1)


def one_run(run_id: str, attempt: int = 1) -> Workload:
    """A run that is flushed, closed and sealed."""

    def workload(store: LocalStore, place: Path) -> Iterator[Promise]:
        journal = store.begin(process_started(run_id, attempt=attempt, **dead_process()))
        journal.take(run_started("small"), AT)
        for step in range(4):
            journal.take(Metrics(values={"loss": step}, step=step), AT)
            if step == 1:
                journal.flush()
                yield has_steps(run_id, 2)
        journal.take(RunFinished(state=RunState.COMPLETED, duration_seconds=1.0), AT)
        journal.take(ProcessFinished(lost=journal.lost, overhead={}), AT)
        journal.close()
        assert journal.lost == 0
        yield has_steps(run_id, 4)
        yield is_completed(run_id, attempt)
        store.seal(run_id)
        yield is_completed(run_id, attempt, summary=True)

    return workload


def ledger(store: LocalStore, place: Path) -> Iterator[Promise]:
    """Entries that are taken in, and more of them."""
    for run_id, count in ((RUN, 1), (OTHER, 2)):
        yield from one_run(run_id)(store, place)
        store.ledger.integrate()
        yield has_events(count)
    store.ledger.checkpoint()
    yield has_events(2)


def packing(store: LocalStore, place: Path) -> Iterator[Promise]:
    """Runs that move into a pack, and one that goes on after that."""
    yield from one_run(RUN)(store, place)
    yield from one_run(OTHER)(store, place)
    store.pack(everything=True)
    yield is_completed(RUN, summary=True)
    yield has_steps(OTHER, 4)
    yield from one_run(RUN, attempt=2)(store, place)


def is_gone(run_id: str, data: bytes) -> Promise:
    """Neither the run nor `data` is anywhere in the store."""

    def check(store: LocalStore) -> None:
        assert run_id not in {run.id for run in store.runs()}
        files = (path for path in Path(store.location).rglob("*") if path.is_file())
        assert [path for path in files if data in path.read_bytes()] == []

    return check


def collecting(store: LocalStore, place: Path) -> Iterator[Promise]:
    """Checkpoints of which only the last stays, and what nobody refers to."""
    for number in (1, 2):
        content = b"weights %d" % number
        store.put_bytes(content)
        store.claim(draft("model", content))
    store.put_bytes(b"nobody's")
    yield has_object(b"weights 2", store.resolve(parse_reference("model:v2")).digest)
    yield points("model:v1", 1)
    last = policy(types=("model",), keep=["alias=latest"])
    done = store.upkeep.collect(Scope(policies=(last,), unreferenced=True, grace_seconds=-1))
    assert done.objects == 2, done
    yield has_events(2)
    yield has_object(b"weights 1", store.put_bytes(b"weights 1"))


def is_bound(made: ArtifactVersion) -> Promise:
    """The seal of the run that made the version covers it; or else the ledger has its check."""

    def check(store: LocalStore) -> None:
        is_sealed = bool(store._layout.run_files(str(made.run_id)).seals)
        events = (entry.event for entry in store.ledger.entries())
        noted = (each.versions for each in events if isinstance(each, VersionsMade))
        assert is_sealed or any(each.get(made.ref) == made.check for each in noted)

    return check


def deleting(store: LocalStore, place: Path) -> Iterator[Promise]:
    """Runs are deleted, and all of them: from a pack, and one that lies by itself."""
    yield from one_run(OTHER)(store, place)
    secret = b"a secret of "
    for run_id in (RUN, LATER):
        digest = store.put_bytes(secret + run_id.encode())
        store.put_bytes(run_id.encode())
        made = store.claim(draft("model", run_id.encode(), run_id=run_id))
        record_run(
            store,
            run_id,
            EnvironmentCaptured(level=1, snapshot=digest, health=()),
            ArtifactLogged(
                ref=made.ref,
                type=made.type,
                digest=made.digest,
                size_bytes=made.size_bytes,
                check=made.check,
            ),
        )
        store.seal(run_id)
        if run_id == RUN:
            store.pack(everything=True)
        yield is_bound(made)
    for run_id in (RUN, LATER):
        store.upkeep.delete_run(run_id, "privacy", redact=True)
        yield is_gone(run_id, secret + run_id.encode())
    yield has_steps(OTHER, 4)


def removing(store: LocalStore, place: Path) -> Iterator[Promise]:
    """A run of two attempts, each with a journal and a seal, is removed."""
    yield from one_run(OTHER)(store, place)
    for attempt in (1, 2):
        list(one_run(RUN, attempt)(store, place))  # what it promises ends with it
    store.upkeep.delete_run(RUN, "privacy", redact=True)
    yield is_gone(RUN, f'"id":"{RUN}"'.encode())
    yield has_steps(OTHER, 4)


def importing(store: LocalStore, place: Path) -> Iterator[Promise]:
    """A run and its artifact come from another store, and once more."""
    bundle = place / "their.bundle"
    if not bundle.exists():
        theirs = LocalStore(place / "theirs", SystemClock())
        theirs.put_bytes(b"weights")
        made = theirs.claim(draft("model", b"weights", run_id=RUN))
        logged = ArtifactLogged(ref=made.ref, type=made.type, digest=made.digest, size_bytes=7)
        record_run(theirs, RUN, *(Metrics(values={}, step=step) for step in range(4)), logged)
        theirs.seal(RUN)
        theirs.bundles.export((RUN,), bundle)
    for _ in range(2):
        store.bundles.import_(bundle)
        yield is_completed(RUN)
        yield has_steps(RUN, 4)
        yield points("model:v1", 1)
        yield has_object(b"weights", store.resolve(parse_reference("model:v1")).digest)


WORKLOADS: dict[str, Workload] = {
    "objects": objects,
    "versions": versions,
    "run": one_run(RUN),
    "ledger": ledger,
    "packing": packing,
    "collecting": collecting,
    "deleting": deleting,
    "removing": removing,
    "importing": importing,
}


def go_on(store: LocalStore) -> None:
    """What the next process does, whatever the last one left."""
    digest = store.put_bytes(b"afterwards")
    assert store.get_bytes(digest) == b"afterwards"
    version = store.claim(draft("afterwards", b"afterwards"))
    assert store.resolve(parse_reference("afterwards:latest")) == version
    run_id = "20260305-afterwards"
    try:
        store.run(run_id)
    except NotFoundError:
        journal = store.begin(process_started(run_id))
        journal.take(RunFinished(state=RunState.COMPLETED, duration_seconds=1.0), AT)
        journal.take(ProcessFinished(lost=0, overhead={}), AT)
        journal.close()
        store.seal(run_id)
    assert store.run(run_id).state is RunState.COMPLETED
