"""The index is only a cache: always up to date, made again when lost, damaged or not possible."""

import functools
import json
import os
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from local import writer

from instrument.clock import SystemClock
from instrument.query import parse
from instrument.records import Metrics
from instrument.testing import FakeClock
from instrument.testing.samples import AT, process_started, record_run, run_started
from instrument.vocabulary import RunState
from instrument_local import LocalStore, open_store


def _ids(store: LocalStore) -> list[str]:
    return [run.id for run in store.runs()]


def _index(store: LocalStore) -> Path:
    return Path(str(store.info()["index"]))


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    """A store with three runs: sealed, not sealed, crashed."""
    store = open_store(store_path, SystemClock())
    for number in range(3):
        record_run(store, f"20260101-{number}", run_started(f"run {number}"), finish=number < 2)
    store.seal("20260101-0")
    assert _ids(store) == ["20260101-2", "20260101-1", "20260101-0"]
    return store


def test_new_runs_are_seen_by_every_process(store: LocalStore, store_path: Path) -> None:
    other = open_store(store_path, SystemClock())
    record_run(store, "20260101-3")
    record_run(store, "20250101-old-month")
    record_run(store, "slurm-1")
    wanted = {"20260101-0", "20260101-1", "20260101-2", "20260101-3"}
    wanted |= {"20250101-old-month", "slurm-1"}
    for reader in (other, store):
        assert set(_ids(reader)) == wanted


def test_a_run_is_followed_while_it_goes_on(store: LocalStore) -> None:
    journal = store.begin(process_started("20260101-3"))
    for step in range(3):
        journal.take(Metrics(values={"loss": 1.0 / (step + 1)}, step=step), AT)
        (run,) = store.runs(where=parse(f"metrics.loss == {1.0 / (step + 1)}"))
        assert run.state is RunState.RUNNING
    journal.close()
    assert store.runs(where=parse("state == 'RUNNING'")) == []
    assert store.seal("20260101-3").metrics == {"loss": 1.0 / 3}
    assert len(store.runs(where=parse("metrics.loss < 0.5"))) == 1


def test_a_sealed_run_that_another_process_continues_unseen_is_seen(
    store: LocalStore, store_path: Path
) -> None:
    os.utime(store_path / "runs" / "202601", ns=(1, 1))  # long ago: nothing to look at again
    assert len(_ids(store)) == 3
    again = open_store(store_path, SystemClock())
    journal = again.begin(process_started("20260101-0", attempt=2))
    journal.close()
    again.seal("20260101-0")
    states = {run.id: (run.state, run.attempts) for run in store.runs()}
    assert states["20260101-0"] == (RunState.INTERRUPTED, 2)
    assert store.verify().problems == ()


def test_unchanged_months_are_not_listed_again(store: LocalStore, store_path: Path) -> None:
    month = store_path / "runs" / "202601"
    os.utime(month, ns=(1, 1))
    assert len(_ids(store)) == 3
    (month / "20260101-smuggled").mkdir()
    (month / "20260101-smuggled" / "x.jsonl").touch()
    os.utime(month, ns=(1, 1))
    assert len(_ids(store)) == 3
    os.utime(month)
    assert len(_ids(store)) == 4


def test_the_newest_run_is_found_without_a_look_at_the_others(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in steps of SQLite's machine, once the index knows all runs."""
    store = open_store(store_path, SystemClock())
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    class Counted(sqlite3.Connection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.set_progress_handler(step, 1)

    def steps_with(runs: int) -> int:
        nonlocal steps
        for number in range(runs):
            record_run(store, f"20260101-{number}")
            store.seal(f"20260101-{number}")
        for month in store_path.glob("runs/*"):
            os.utime(month, (runs, runs))  # long unchanged
        store.runs(limit=1)
        steps = 0
        assert len(store.runs(limit=1)) == 1
        return steps

    connect = functools.partial(sqlite3.connect, factory=Counted)
    monkeypatch.setattr(sqlite3, "connect", connect)
    few = steps_with(4)
    assert few > 0
    assert steps_with(40) == few


def test_a_run_that_was_removed_is_gone(store: LocalStore, store_path: Path) -> None:
    import shutil

    shutil.rmtree(store_path / "runs" / "202601" / "20260101-1")
    shutil.rmtree(store_path / "runs" / "202601" / "20260101-0")
    assert _ids(store) == ["20260101-2"]
    shutil.rmtree(store_path / "runs" / "202601")
    assert _ids(store) == []


@pytest.mark.parametrize("damage", [b"", b"garbage" * 1000, None])
def test_a_lost_or_damaged_index_is_made_again(store: LocalStore, damage: bytes | None) -> None:
    before = store.runs()
    path = _index(store)
    assert path.exists()
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    assert store.runs() == before


def test_every_damaged_page_of_the_index_is_survived(store: LocalStore) -> None:
    before = store.runs()
    path = _index(store)
    data = path.read_bytes()
    for start in range(0, len(data), 4096):
        for size in (100, 4096):
            path.write_bytes(data[:start] + b"\xa5" * size + data[start + size :])
            found = store.runs()
            assert {run.id for run in found} == {run.id for run in before}


def test_an_index_with_other_tables_is_made_again(store: LocalStore) -> None:
    path = _index(store)
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE run (something_else)")
    database.close()
    assert len(_ids(store)) == 3


def test_without_a_usable_cache_directory_questions_are_answered_all_the_same(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    assert store.info()["index"] is None
    assert len(_ids(store)) == 3
    source = tmp_path / "source"
    source.write_bytes(b"x")
    assert store.put_file(source) == store.put_file(source)


def test_a_cache_directory_of_somebody_else_is_not_used(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.getuid() != 0:
        pytest.skip("SKIPPED LOUDLY: giving a directory away needs root")
    cache = tmp_path / "theirs"
    (cache / "instrument").mkdir(parents=True)
    os.chown(cache / "instrument", 12345, 12345)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    assert str(cache) not in str(store.info()["index"])
    assert len(_ids(store)) == 3
    assert list((cache / "instrument").iterdir()) == []


def test_an_index_that_somebody_else_is_writing_is_not_waited_for_for_ever(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instrument_local.index.BUSY_SECONDS", 0.05)
    busy = sqlite3.connect(_index(store), isolation_level=None)
    busy.execute("BEGIN EXCLUSIVE")
    record_run(store, "20260101-3")
    assert len(_ids(store)) == 4
    busy.execute("ROLLBACK")
    busy.close()
    assert _index(store).exists()
    assert len(_ids(store)) == 4


def test_threads_and_processes_may_ask_at_once(store: LocalStore, store_path: Path) -> None:
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(len(_ids(store)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    command = [sys.executable, writer.__file__, str(store_path), "20260101-9", "10"]
    subprocess.run(command, check=True)
    for thread in threads:
        thread.join()
    assert set(results) <= {3, 4}
    assert len(results) == 8
    assert len(_ids(store)) == 4


def test_runs_are_sorted_by_the_time_they_started(store_path: Path) -> None:
    clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    store = open_store(store_path, clock)
    for name in ("zzzz", "aaaa", "mmmm"):
        clock.advance(1)
        journal = store.begin(process_started(name))
        journal.close()
    clock.set(datetime(2020, 1, 1, tzinfo=UTC))
    store.begin(process_started("past")).close()
    assert _ids(store) == ["mmmm", "aaaa", "zzzz", "past"]


def test_an_empty_run_directory_is_no_run_until_its_journal_is_there(store_path: Path) -> None:
    store = open_store(store_path, SystemClock())
    record_run(store, "20260101-1")
    month = store_path / "runs" / "202601"
    (month / "20260101-2").mkdir()
    os.utime(month, ns=(1, 1))
    assert _ids(store) == ["20260101-1"]
    (path,) = (month / "20260101-1").glob("*.jsonl")
    line = json.dumps({"seq": 0, "at": "2026-01-01T00:00:00Z", "record": {"kind": "future"}})
    (month / "20260101-2" / path.name).write_text(line + "\n")
    assert set(_ids(store)) == {"20260101-1", "20260101-2"}
