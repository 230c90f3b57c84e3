"""A store whose FORMAT is gone: it stays the same store, and that it is gone is told."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from instrument.audit import Repaired
from instrument.clock import SystemClock
from instrument.protocols.ledger import Evidence
from instrument.records import Problem
from instrument.testing.samples import record_run, together
from instrument_local import LocalStore, open_store

RUNS = [f"20260304-05060{number}-0123456789ab" for number in range(3)]
OTHER = "00000000-1111-4222-8333-444444444444"


@pytest.fixture
def whole(store_path: Path) -> bytes:
    """The FORMAT of a store with a run, which is gone."""
    store = _open(store_path)
    record_run(store, RUNS[0])
    store.seal(RUNS[0])
    store.ledger.checkpoint()
    data = (store_path / "FORMAT").read_bytes()
    (store_path / "FORMAT").unlink()
    return data


def _open(store_path: Path) -> LocalStore:
    return open_store(store_path, SystemClock())


def _record(store: LocalStore, run_id: str) -> list[str]:
    """Record a run; what it says of problems."""
    record_run(store, run_id)
    store.seal(run_id)
    records = [entry.record for entry in store.entries(run_id)]
    return [record.message for record in records if isinstance(record, Problem)]


def _id(data: bytes) -> str:
    return str(json.loads(data)["store_id"])


def _forget(tmp_path: Path) -> None:
    """Remove the checkpoint that the user saw."""
    [seen] = (tmp_path / "state/instrument/ledgers").iterdir()
    seen.unlink()


def _other_checkpoint(store_path: Path) -> Path:
    """A checkpoint of another store, among those of this one."""
    path = store_path / "ledger/checkpoints/1.2.note"
    path.write_text(f"{OTHER}\n1\n{'A' * 43}=\n")
    return path


def test_who_reads_finds_everything_and_changes_nothing(store_path: Path, whole: bytes) -> None:
    store = _open(store_path)
    assert [run.id for run in store.runs()] == RUNS[:1]
    assert store.info()["store_id"] == _id(whole)
    assert store.info()["format"] is None
    ledger = store.ledger.verify(Evidence())
    assert (ledger.verdict, ledger.anchored) == ("ok", 1)
    assert [problem.kind for problem in store.verify().problems] == ["format_missing"]
    assert not (store_path / "FORMAT").exists()


def test_who_records_writes_it_again_and_that_is_told_once(store_path: Path, whole: bytes) -> None:
    store = _open(store_path)
    [told] = _record(store, RUNS[1])
    assert told == "it was missing, and is written again with the id that the checkpoints tell"
    assert (store_path / "FORMAT").read_bytes() == whole
    assert _record(store, RUNS[2]) == []
    assert sorted(run.id for run in store.runs()) == RUNS
    assert store.verify().ok


def test_the_checkpoint_that_the_user_saw_tells_it_too(store_path: Path, whole: bytes) -> None:
    (store_path / "ledger/checkpoints/1.note").unlink()
    _record(_open(store_path), RUNS[1])
    assert (store_path / "FORMAT").read_bytes() == whole


def test_of_two_ids_that_counts_whose_checkpoint_holds(store_path: Path, whole: bytes) -> None:
    _other_checkpoint(store_path)
    _record(_open(store_path), RUNS[1])
    assert (store_path / "FORMAT").read_bytes() == whole


@pytest.mark.parametrize("left", ["nothing", "a damaged checkpoint", "a damaged ledger"])
def test_where_nothing_tells_it_a_new_one_is_made_and_told(
    store_path: Path, whole: bytes, tmp_path: Path, left: str
) -> None:
    _forget(tmp_path)
    note = store_path / "ledger/checkpoints/1.note"
    if left == "a damaged ledger":
        _other_checkpoint(store_path)
        [entries] = (store_path / "ledger/entries").iterdir()
        entries.unlink()
        entries.write_bytes(b"\0")
    else:
        note.unlink()
        if left == "a damaged checkpoint":
            note.write_bytes(b"\xff\n")
    [told] = _record(_open(store_path), RUNS[1])
    new = _id((store_path / "FORMAT").read_bytes())
    assert new not in (_id(whole), OTHER)
    assert f"the store has the new id {new}; checkpoints" in told
    assert len(_open(store_path).runs()) == 2


def test_a_checkpoint_is_of_no_store_without_an_id(
    store_path: Path, whole: bytes, tmp_path: Path
) -> None:
    (store_path / "ledger/checkpoints/1.note").unlink()
    _forget(tmp_path)
    _open(store_path).ledger.verify(Evidence())
    assert not any((tmp_path / "state/instrument/ledgers").iterdir())
    note = _open(store_path).ledger.checkpoint()
    assert note.splitlines()[0] == _id((store_path / "FORMAT").read_bytes())


def test_a_bundle_is_of_no_store_without_an_id(
    store_path: Path, whole: bytes, tmp_path: Path
) -> None:
    (store_path / "ledger/checkpoints/1.note").unlink()
    _forget(tmp_path)
    store = _open(store_path)
    store.bundles.export(RUNS[:1], tmp_path / "bundle")
    brought = _open(tmp_path / "other").bundles.import_(tmp_path / "bundle")
    assert brought.origin == _id((store_path / "FORMAT").read_bytes())


def test_many_who_record_at_once_agree(store_path: Path, whole: bytes, tmp_path: Path) -> None:
    (store_path / "ledger/checkpoints/1.note").unlink()
    _forget(tmp_path)
    stores = [_open(store_path) for _ in range(8)]
    together([partial(store.put_bytes, b"x") for store in stores])
    assert len({store.info()["store_id"] for store in stores}) == 1


@pytest.mark.parametrize("made", [(), ("runs/mnist", "ledger/2025", "objects")])
def test_a_directory_that_is_no_store_yet_lacks_nothing(
    store_path: Path, made: tuple[str, ...]
) -> None:
    for name in made:
        (store_path / name).mkdir(parents=True)
    assert _open(store_path).runs() == []
    assert _record(_open(store_path), RUNS[0]) == []


@pytest.mark.parametrize(
    ("command", "code", "shown"),
    [
        ("runs list --json", 0, RUNS[0]),
        (f"runs show {RUNS[0]}", 0, RUNS[0]),
        ("artifacts list", 0, "no artifact"),
        ("verify", 1, "format missing"),
    ],
)
def test_a_command_says_it_in_one_line(
    store_path: Path, whole: bytes, command: str, code: int, shown: str
) -> None:
    done = _command(command)
    assert done.returncode == code
    assert shown in done.stdout + done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert f"{store_path / 'FORMAT'} is missing" in line
    assert "let the next run write it again" in line


def test_doctor_does_not_say_ok(store_path: Path, whole: bytes) -> None:
    checks = json.loads(_command("doctor --json").stdout)["checks"]
    [store] = [check for check in checks if check["name"] == "store"]
    assert store["status"] == "warning"
    assert store["detail"].startswith(f"{store_path / 'FORMAT'} is missing")
    assert "restore it from a copy" in store["hint"]


def _command(words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "instrument", *words.split()]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_repair_writes_it_again_and_says_so(store_path: Path) -> None:
    store = open_store(store_path, SystemClock())
    _record(store, "20260101-000000-000000000001")
    store.ledger.checkpoint()
    told = store.info()["store_id"]
    (store_path / "FORMAT").unlink()
    planned = open_store(store_path, SystemClock()).repair(dry_run=True)
    assert not (store_path / "FORMAT").exists()
    done = open_store(store_path, SystemClock()).repair()
    for steps in (planned.steps, done.steps):
        assert (steps[0].path, steps[0].action) == ("FORMAT", "restored")
    assert done.verification.ok
    again = open_store(store_path, SystemClock())
    assert again.info()["store_id"] == told
    assert again.repair().steps == ()
    events = [entry.event for entry in again.ledger.entries()]
    assert any(isinstance(event, Repaired) and event.path == "FORMAT" for event in events)
