"""The store is full, unwritable or too new: the user's program does not notice, its owner does."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.small_disk import in_memory

from instrument.clock import SystemClock
from instrument.records import Metrics
from instrument.registry import open_store
from instrument.vocabulary import RunState

SCRIPT = """
import sys
from instrument import ExperimentContext
with ExperimentContext(name="stubborn", capture_level=1) as run:
    for step in range(30000):
        run.log_metrics({"loss": 1.0 / (step + 1)}, step=step)
print("done")
sys.exit(7)
"""


def run_script(store: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "INSTRUMENT_STORE": str(store)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with in_memory(tmp_path / "small", "2m") as place:
        yield place


@pytest.mark.faults
def test_on_a_full_disk_the_program_goes_on_and_the_loss_is_on_the_record(
    small_disk: Path,
) -> None:
    result = run_script(small_disk / "store")
    assert (result.returncode, result.stdout) == (7, "done\n")
    assert "Traceback" not in result.stderr
    store = open_store("local", small_disk / "store", SystemClock())
    run = store.run("latest")
    assert run.state is RunState.COMPLETED
    [told] = [problem for problem in run.recording.problems if "records lost" in problem]
    assert "No space left on device" in told
    assert f"{told.split()[0]} records of run {run.id} were lost" in result.stderr
    kept = sum(isinstance(entry.record, Metrics) for entry in store.entries(run.id))
    assert 0 < kept < 30000
    assert kept + int(told.split()[0]) >= 30000
    assert not any("without closing" in problem for problem in run.recording.problems)
    assert store.verify().ok


def test_a_store_that_cannot_be_made_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = run_script(tmp_path / "file" / "store")
    assert (result.returncode, result.stdout) == (7, "done\n")
    assert result.stderr.count("not recorded") == 1
    assert "Traceback" not in result.stderr


def test_a_store_of_a_newer_format_is_left_alone(store_path: Path) -> None:
    assert run_script(store_path).returncode == 7
    written = store_path / "FORMAT"
    format_of_today = json.loads(written.read_text())
    newer = json.dumps({**format_of_today, "format": 99})
    written.chmod(0o600)
    written.write_text(newer)
    before = sorted(store_path.rglob("*"))
    result = run_script(store_path)
    assert (result.returncode, result.stdout) == (7, "done\n")
    assert "newer" in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(store_path.rglob("*")) == before
