"""Stores of every released format are opened, verified, listed, exported and repaired for ever."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from golden.make import RUNS, STORE_ID, fill

from instrument.clock import SystemClock
from instrument.errors import StoreVersionError
from instrument.naming import parse_reference
from instrument.records import ArtifactLogged, ArtifactUsed, Metrics
from instrument.testing.samples import AT, draft, record_run, run_started
from instrument.vocabulary import RunState
from instrument_local import LocalStore, open_store
from instrument_local.stamps import unstamp

GOLDEN = sorted(Path(__file__).parent.glob("format-*"))
PACKED, SEALED, CRASHED = RUNS


@pytest.fixture(params=GOLDEN, ids=lambda path: path.name)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a golden store, private as a store is."""
    path = tmp_path / "golden"
    shutil.copytree(request.param, path)
    for each in (path, *path.rglob("*")):
        each.chmod(0o700 if each.is_dir() else 0o600)
    return path


def _files(path: Path) -> dict[str, str]:
    return {
        file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.relative_to(path).parts[0] != "tmp"
    }


def test_there_is_a_golden_store_of_each_format() -> None:
    from instrument.records import FORMAT_VERSION

    names = [f"format-{number}" for number in range(1, FORMAT_VERSION + 1)]
    assert [path.name for path in GOLDEN] == names


def test_it_is_whole_and_reading_changes_no_byte(golden: Path) -> None:
    before = _files(golden)
    store = open_store(golden, SystemClock())
    result = store.verify()
    assert result.ok, result.problems
    # What made versions without a run did not tell the ledger then.
    others = [each for each in result.problems if each.kind != "version_unrecorded"]
    assert {problem.kind: problem.expected for problem in others} == {
        "torn_tail": "a whole last line",
        # Of a run that went on, only the last attempt counted.
        "seal_otherwise": "duration_seconds as this version makes it of the journals",
    }
    assert (result.runs, result.objects) == (3, 4)
    for selector in (*RUNS, "model:v1", "data:v1"):
        assert store.verify(selector).ok
    store.runs()
    assert _files(golden) == before


def test_its_runs_are_what_they_were(golden: Path) -> None:
    store = open_store(golden, SystemClock())
    runs = {run.id: run for run in store.runs()}
    assert {run_id: run.state for run_id, run in runs.items()} == {
        PACKED: RunState.COMPLETED,
        SEALED: RunState.FAILED,
        CRASHED: RunState.INTERRUPTED,
    }
    assert runs[PACKED].params == {"lr": 0.1, "layers": [1, 2], "name": "modèle"}
    assert runs[PACKED].outputs == ["model:v1"]
    assert runs[SEALED].metrics == {"loss": 1 / 3, "nan": "NaN"}
    assert (runs[SEALED].attempts, runs[SEALED].exit_code) == (2, 1)
    assert runs[SEALED].tags == ("a", "b")
    assert runs[SEALED].inputs == ["model:v1"]
    assert not runs[CRASHED].recording.complete
    for run_id in RUNS:
        assert store.run(run_id) == runs[run_id]
    kinds = [type(entry.record) for entry in store.entries(PACKED)]
    assert ArtifactLogged in kinds
    entries = list(store.entries(SEALED))
    assert [e.record.step for e in entries if isinstance(e.record, Metrics)] == [0, 1, 2]
    assert [e.record.requested for e in entries if isinstance(e.record, ArtifactUsed)] == [
        "model:best"
    ]


def test_its_artifacts_are_what_they_were(golden: Path) -> None:
    store = open_store(golden, SystemClock())
    assert [version.ref for version in store.artifacts()] == ["data:v1", "model:v1", "model:v2"]
    best = store.resolve(parse_reference("model:best"))
    assert (best.version, best.run_id, best.created_at) == (1, PACKED, AT)
    assert store.get_bytes(best.digest) == b"weights"
    second = store.resolve(parse_reference("model"))
    assert (second.version, second.parents) == (2, ("model:v1",))
    assert second.metadata == {"accuracy": 0.5}
    tree = store.resolve(parse_reference("data:v1"))
    assert tree.is_tree
    contents = {file.path: store.get_bytes(file.digest) for file in tree.files}
    assert contents == {"a/left.txt": b"left", "right.txt": b"right"}


def test_its_ledger_is_what_it_was(golden: Path) -> None:
    store = open_store(golden, SystemClock())
    entries = list(store.ledger.entries())
    assert [str(entry.event.__struct_config__.tag) for entry in entries] == [
        "alias_moved",
        "run_sealed",
        "packed",
        "run_sealed",
        "run_sealed",
    ]
    note = (golden / "ledger/checkpoints/5.note").read_text().splitlines()
    assert store.ledger.checkpoint().splitlines()[:3] == note[:3]
    assert note[:2] == [str(STORE_ID), "5"]


def test_it_goes_on(golden: Path) -> None:
    store = open_store(golden, SystemClock())
    done = store.repair()
    assert [(step.action, step.error) for step in done.steps] == [("sealed", None)]
    record_run(store, "20270101-new", run_started("new"), Metrics(values={"loss": 0.0}, step=0))
    store.seal("20270101-new")
    store.put_bytes(b"new")
    assert store.claim(draft("model", b"new")).version == 3
    store.pack(everything=True)
    assert store.verify().ok
    assert {run.id for run in store.runs()} == {*RUNS, "20270101-new"}


def test_it_is_exported_and_comes_into_a_new_store(golden: Path, tmp_path: Path) -> None:
    def instrument(store: Path, *arguments: object) -> None:
        command = [sys.executable, "-m", "instrument", "--store", str(store)]
        done = subprocess.run(
            [*command, *map(str, arguments)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    bundle, new = tmp_path / "all.bundle", tmp_path / "new"
    instrument(golden, "export", PACKED, SEALED, "-o", bundle)
    instrument(new, "import", bundle)
    store = open_store(new, SystemClock())
    assert {run.id for run in store.runs()} == {PACKED, SEALED}
    assert store.verify().ok


def test_an_older_reader_refuses_what_is_newer_and_writes_nothing(
    golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from instrument_local import layout

    monkeypatch.setattr(layout, "FORMAT_VERSION", 0)
    before = _files(golden)
    with pytest.raises(StoreVersionError, match="format 1, and this version knows 0"):
        open_store(golden, SystemClock())
    assert _files(golden) == before


def test_what_is_written_today_has_the_same_form(tmp_path: Path) -> None:
    """The golden store of the present format is what the script beside it still makes."""
    fill(tmp_path / "made")
    made, kept = tmp_path / "made", GOLDEN[-1]
    for part in ("objects", "artifacts/model/v1.json"):
        here = {name: d for name, d in _files(made).items() if name.startswith(part)}
        there = {name: d for name, d in _files(kept).items() if name.startswith(part)}
        assert here == there
    for part in ("artifacts/model/v2.json", "artifacts/data/v1.json"):  # made without a run
        data, before = (made / part).read_bytes(), (kept / part).read_bytes()
        assert unstamp(data).replace(b'"in_ledger":true,', b"") == unstamp(before)
    names = {name for name in _files(made) if name.startswith("runs/")}
    assert names == {name for name in _files(kept) if name.startswith("runs/")}
    assert LocalStore(made, SystemClock()).verify().ok
