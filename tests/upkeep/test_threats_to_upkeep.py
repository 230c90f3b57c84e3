"""Rows of the threat table that upkeep can meet: nothing that lives is ever removed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from upkeep.keeping import (
    add_run,
    metric,
    run_id,
    runs_with_checkpoints,
    scope,
    snapshot,
    store_at,
    there,
)

from instrument.errors import NotFoundError, StoreError
from instrument.protocols.upkeep import Scope
from instrument.records import Metrics, Record
from instrument.testing.samples import AT, process_started
from instrument_local import LocalStore
from instrument_local.upkeep import collecting

OLD = scope(older_than="1h")


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    store = store_at(store_path)
    runs_with_checkpoints(store)
    return store


def as_a_user(*words: str) -> subprocess.CompletedProcess[str]:
    """Run ``instrument WORDS`` as somebody whom the modes of files bind, unlike root."""
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.getuid() == 0 else []
    if drop and shutil.which("setpriv") is None:
        pytest.skip("SKIPPED LOUDLY: root cannot give up its powers here without setpriv")
    command = [*drop, sys.executable, "-m", "instrument", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_t18_what_cannot_be_read_could_refer_to_anything(
    store: LocalStore, store_path: Path
) -> None:
    closed = store_path / f"runs/202603/{run_id(2)}"
    closed.chmod(0)
    try:
        listed = as_a_user("runs", "list", "--json")
        collected = as_a_user("gc", "--older-than", "1h", "--yes")
        verified = as_a_user("verify")
    finally:
        closed.chmod(0o700)
    assert listed.returncode == 0
    assert run_id(3) in listed.stdout
    assert (collected.returncode, collected.stdout) == (3, "")
    assert run_id(2) in collected.stderr
    assert "nothing was removed" in collected.stderr
    assert len(there(store, store.artifacts())) == 4
    assert verified.returncode == 1
    assert "unreadable" in verified.stdout


@pytest.mark.parametrize("kind", ["garbage", "future"])
def test_t21_a_lock_that_cannot_be_understood_stops_gc_and_says_how_to_break_it(
    store: LocalStore, store_path: Path, kind: str
) -> None:
    lock = store_path / "maintenance/1.json"
    lock.parent.mkdir()
    lock.write_bytes(b"garbage")
    if kind == "future":
        os.utime(lock, (lock.stat().st_mtime + 1e6,) * 2)
    before = snapshot(store_path)
    with pytest.raises(StoreError, match=rf"locked.*remove {lock}"):
        store.upkeep.collect(OLD)
    assert snapshot(store_path) == before
    lock.unlink()
    assert store.upkeep.collect(OLD).objects == 4


@pytest.mark.parametrize("when", ["before", "after"])
def test_t21_a_lock_that_is_taken_away_stops_gc_before_the_next_deed(
    store: LocalStore, store_path: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_away(*_: object) -> None:
        (lock,) = (store_path / "maintenance").glob("*.json")
        lock.unlink()

    monkeypatch.setattr(
        collecting.Collector, {"before": "_note", "after": "_settle"}[when], take_away
    )
    with pytest.raises(StoreError, match="taken away"):
        store.upkeep.collect(OLD)
    monkeypatch.undo()
    assert store.verify().ok
    store.upkeep.collect(scope(keep=["last=9"]))  # puts back what was moved
    assert len(there(store, store.artifacts())) == 4


def test_t22_two_writers_with_one_name_have_two_files(store: LocalStore, store_path: Path) -> None:
    process = process_started(run_id(9))
    journals = [store.begin(process) for _ in range(2)]
    for step, journal in enumerate(journals):
        journal.take(Metrics(values={"loss": step}, step=step), AT)
        journal.close()
    assert [journal.lost for journal in journals] == [0, 0]
    assert len(list((store_path / f"runs/202603/{run_id(9)}").glob("*.jsonl"))) == 2
    steps = [e.record.step for e in store.entries(run_id(9)) if isinstance(e.record, Metrics)]
    assert sorted(step for step in steps if step is not None) == [0, 1]
    assert store.verify().ok


def test_t23_what_others_may_write_to_is_told_and_ours_is_private(store_path: Path) -> None:
    before = os.umask(0)
    try:
        store = store_at(store_path)
        runs_with_checkpoints(store)
        store.upkeep.collect(scope(keep=["last=1"]))
    finally:
        os.umask(before)
    for path in (store_path, *store_path.rglob("*")):
        assert path.lstat().st_mode & 0o077 in {0, 0o044}, path
    for name in ("tmp", "trash", "objects"):
        (store_path / name).chmod(0o777)
    told = {each.path for each in store.verify().problems if each.kind == "open_to_others"}
    assert told >= {"tmp", "trash", "objects"}
    add_run(store, 9, metric(1))


def test_t13_a_link_in_the_place_of_an_object_is_not_followed(
    store: LocalStore, store_path: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    (version, *_) = store.artifacts()
    lies = store.path_of(version.digest)
    assert lies is not None
    lies.unlink()
    lies.symlink_to(precious)
    os.utime(precious, (1e9, 1e9))
    assert store.upkeep.collect(OLD).objects == 3
    assert precious.read_bytes() == b"mine"
    assert lies.is_symlink()


class Later(Record, frozen=True, kw_only=True, tag="of_a_later_version"):
    """A kind of record that this version does not know."""

    nested: dict[str, list[str]]


class LaterMetrics(Record, frozen=True, kw_only=True, tag="metrics"):
    """A kind that it does know, with a field that it does not."""

    values: dict[str, float]
    step: int
    picture: str


def test_t24_what_a_newer_version_names_is_not_let_go(store: LocalStore) -> None:
    by_kind, by_field, unnamed = map(store.put_bytes, (b"by kind", b"by field", b"nobody's"))
    later = Later(nested={"of": [by_kind]}), LaterMetrics(values={}, step=0, picture=by_field)
    add_run(store, 9, *later)
    store.pack(everything=True)
    store.upkeep.collect(Scope(unreferenced=True, grace_seconds=0))
    assert store.get_bytes(by_kind) == b"by kind"
    assert store.get_bytes(by_field) == b"by field"
    with pytest.raises(NotFoundError):
        store.get_bytes(unnamed)
