"""Runs are removed on purpose: what goes, what stays, and what is said of it."""

import errno
import hashlib
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cli.support import Cli
from upkeep.keeping import (
    add_run,
    add_version,
    captured,
    grow_old,
    logged,
    metric,
    run_id,
    scope,
    store_at,
    used,
)

from instrument.audit import RunDropped
from instrument.errors import HeldError, NotFoundError, StoreError, UsageError
from instrument.lineage import build_graph
from instrument.lineage.validation import validate
from instrument.naming import parse_reference
from instrument.protocols.ledger import Evidence
from instrument.records import Params
from instrument.testing.samples import process_started
from instrument_local import LocalStore
from instrument_local.files import Disk
from instrument_local.liveness import this_process

SECRET = b"the patient is Ann Example"


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    """Two runs; the first has something private, and made what the second used."""
    store = store_at(store_path)
    shared = store.put_bytes(b"environment")
    private = store.put_bytes(SECRET)
    words = Params(values={"note": SECRET.decode()}, source="config")
    report = add_version(store, "report", SECRET + b" too", run=run_id(1))
    model = add_version(store, "model", b"weights", run=run_id(1))
    add_run(store, 1, captured(shared), captured(private), words, logged(report), logged(model))
    add_run(store, 2, captured(shared), used(model), metric(1))
    mirrored = store_path / "mirrors/wandb"
    mirrored.mkdir(parents=True)
    (mirrored / f"{run_id(1)}.log").write_bytes(SECRET)
    (mirrored / f"{run_id(2)}.log").write_bytes(b"of another")
    return store


def holding(path: Path, text: bytes) -> list[str]:
    """The files that have `text`, and packs that may have it compressed."""
    files = (file for file in path.rglob("*") if file.is_file())
    return [file.name for file in files if text in file.read_bytes()]


@pytest.mark.parametrize("packed", [False, True])
def test_t56_what_is_redacted_is_gone_and_told_as_such(
    store: LocalStore, store_path: Path, packed: bool
) -> None:
    checkpoint = store.ledger.checkpoint() if not packed else None
    if packed:
        store.pack(everything=True)
    event = store.upkeep.delete_run(run_id(1), "request of Ann", redact=True)
    assert holding(store_path, SECRET) == []
    assert [run.id for run in store_at(store_path).runs()] == [run_id(2)]
    assert store.contains(store.resolve(parse_reference("model:v1")).digest)
    assert (store_path / f"mirrors/wandb/{run_id(2)}.log").exists()
    result = store.verify()
    assert result.ok, result.problems
    told = {each.kind: each.found or "" for each in result.problems}
    assert "request of Ann" in told["redacted"]
    assert "object_missing" not in told
    since = checkpoint.splitlines() if checkpoint else None
    verdict = store.ledger.verify(Evidence(since="/".join(since[:3]) if since else None))
    assert (verdict.verdict, verdict.dropped_runs) == ("ok", (run_id(1),))
    assert event.digest is not None


def test_a_pack_without_the_run_takes_the_place_of_the_pack(
    store: LocalStore, store_path: Path
) -> None:
    store.pack(everything=True)
    before = [store.run(run_id(2)), list(store.entries(run_id(2)))]
    (old,) = (store_path / "packs").iterdir()
    store.upkeep.delete_run(run_id(1), "tidy")
    (new,) = (store_path / "packs").iterdir()
    assert new.name != old.name
    assert [store.run(run_id(2)), list(store.entries(run_id(2)))] == before
    store.upkeep.delete_run(run_id(2), "tidy")
    assert not list((store_path / "packs").iterdir())


def test_objects_stay_until_they_are_collected(store: LocalStore) -> None:
    captured_bytes = store.put_bytes(SECRET)
    store.upkeep.delete_run(run_id(1), "tidy")
    assert store.contains(captured_bytes)
    grow_old(store)
    store.upkeep.collect(scope(unreferenced=True))
    assert not store.contains(captured_bytes)
    assert store.contains(store.resolve(parse_reference("report:v1")).digest)  # a version names it


def test_the_ledger_keeps_the_digest_of_the_seal(store: LocalStore, store_path: Path) -> None:
    seal = (store_path / f"runs/202603/{run_id(1)}/run.json").read_bytes()
    store.upkeep.delete_run(run_id(1), "tidy")
    (event,) = [e.event for e in store.ledger.entries() if isinstance(e.event, RunDropped)]
    assert event.digest == f"sha256:{hashlib.sha256(seal).hexdigest()}"
    assert (event.rule, event.why) == ("runs delete", "tidy")


def test_lineage_says_that_the_run_was_deleted(store: LocalStore, cli: Cli) -> None:
    store.upkeep.delete_run(run_id(1), "tidy")
    graph = build_graph(store)
    assert graph.node(run_id(1)).state == "DELETED"
    assert validate(graph)["is_valid"]
    assert f"run {run_id(1)}  DELETED" in cli("lineage", "model:v1").out
    shown = cli("runs", "show", run_id(1))
    assert shown.code == 2
    assert "was removed on" in shown.err
    assert "tidy" in shown.err


def test_an_id_can_be_used_again(store: LocalStore) -> None:
    store.upkeep.delete_run(run_id(1), "tidy")
    add_run(store, 1, metric(3))
    assert store.upkeep.dropped_runs() == {}
    assert store.verify().ok
    assert build_graph(store).node(run_id(1)).state == "COMPLETED"


def test_the_name_that_a_deletion_left_when_it_was_cut_off_goes_with_gc(
    store: LocalStore, store_path: Path
) -> None:
    class CutOff(Disk):
        """Dies when the directory of the run is gone."""

        def __init__(self) -> None:
            super().__init__()
            self.rmdir = self._last

        def _last(self, path: Path) -> None:
            path.rmdir()
            raise OSError(errno.EIO, "cut off")

    with pytest.raises(StoreError, match="cut off"):
        store_at(store_path, CutOff()).upkeep.delete_run(run_id(1), "tidy")
    (left,) = store_path.glob("runs/*/*.*")
    journal = store.begin(process_started(run_id(2), attempt=2, **_here()))
    journal.close()  # a run that goes on has such a name too, and keeps it
    grow_old(store)
    for path in store_path.glob("runs/*/*.*"):
        os.utime(path, (0, 0))
    (gone,) = store.upkeep.collect(scope(unreferenced=True)).leftovers
    assert store_path / gone == left
    assert not left.exists()
    assert [path.name for path in store_path.glob("runs/*/*.*")] == [f"{run_id(2)}.1"]
    assert store.verify().ok


def test_what_is_held_or_recording_stays(store: LocalStore) -> None:
    until = datetime(2999, 1, 1, tzinfo=UTC)
    for subject in (run_id(1), "model:v1"):
        store.upkeep.hold(subject, until, "court")
        with pytest.raises(HeldError, match=rf"{subject} is held until 2999-01-01 .*\(court\)"):
            store.upkeep.delete_run(run_id(1), "tidy", redact=True)
        store.upkeep.hold(subject, None, "settled")
    journal = store.begin(process_started(run_id(1), attempt=2, **_here()))
    with pytest.raises(UsageError, match="still recording"):
        store.upkeep.delete_run(run_id(1), "tidy")
    journal.close()
    with pytest.raises(NotFoundError):
        store.upkeep.delete_run("202699-nothing", "tidy")
    assert store.run(run_id(1)).params["note"] == SECRET.decode()


def _here() -> dict[str, Any]:
    """This process, as it is looked up."""
    found = this_process()
    names = ("host", "boot_id", "pid", "process_start")
    return {name: getattr(found, name) for name in names}


def test_the_command_asks_and_needs_a_reason(store: LocalStore, cli: Cli) -> None:
    assert cli("runs", "delete", run_id(1), "--yes").code == 2
    assert cli("runs", "delete", run_id(1), "--why", "x").code != 0  # nobody answers
    assert store.run(run_id(1)).id == run_id(1)
    done = cli("runs", "delete", run_id(1), "--why", "request", "--redact", "--yes", "--json")
    assert (done.code, done.json["rule"], done.json["why"]) == (0, "redaction", "request")


def _removing_no_directory() -> Disk:
    def rmdir(path: Path) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    disk = Disk()
    disk.rmdir = rmdir
    return disk


def test_a_deletion_that_was_cut_off_at_the_end_is_gone_from_lists_and_can_be_ended(
    store: LocalStore, store_path: Path, cli: Cli
) -> None:
    past = time.time() - 3600
    for month in store_path.glob("runs/*"):
        os.utime(month, (past, past))  # an index that has seen it looks again for a reason only
    assert len(store.runs()) == 2
    with pytest.raises(StoreError, match="Stale"):
        store_at(store_path, _removing_no_directory()).upkeep.delete_run(run_id(1), "request")
    assert [run.id for run in store_at(store_path).runs()] == [run_id(2)]
    delete = ("runs", "delete", run_id(1), "--why", "request", "--yes")
    assert cli(*delete).code == 0
    assert not list(store_path.glob(f"runs/*/{run_id(1)}*"))
    assert "was removed" in cli(*delete).err
    assert store_at(store_path).verify().ok
