"""Two programs under one run id: told, where neither knows of the other."""

import subprocess
import sys
from pathlib import Path

import pytest

from instrument import ExperimentContext
from instrument.clock import SystemClock
from instrument.errors import UsageError
from instrument.registry import open_store

ANOTHER = """
import sys
from instrument import ExperimentContext
run = ExperimentContext(capture_level=1, monitor_hardware=False).start()
print(run.id, flush=True)
sys.stdin.readline()
"""
SAID = "another process records it now, and both go into one run; give each its own id"
TOLD = SAID[:30]


def test_a_run_that_a_stranger_has_open_is_told(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INSTRUMENT_RUN_ID", "sweep-7")
    command = [sys.executable, "-c", ANOTHER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "sweep-7\n"
        with ExperimentContext(capture_level=1, monitor_hardware=False, strict=True) as run:
            run.log_metrics({"loss": 0.5})
        other.kill()
    assert f"run sweep-7: {TOLD}" in capsys.readouterr().err
    store = open_store("local", store_path, SystemClock())
    told = [problem for problem in store.run("sweep-7").recording.problems if TOLD in problem]
    assert told == [f"could not keep run sweep-7 apart: UsageError: {SAID}"]

    with ExperimentContext(capture_level=1, monitor_hardware=False):  # the other was killed
        pass
    assert TOLD not in capsys.readouterr().err


def test_the_next_attempt_and_a_child_are_no_strangers(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INSTRUMENT_RUN_ID", "sweep-8")
    for _ in range(2):
        with ExperimentContext(capture_level=1, monitor_hardware=False) as run:
            child = [sys.executable, "-c", ANOTHER]
            subprocess.run(child, stdin=subprocess.DEVNULL, check=True)
    assert TOLD not in capfd.readouterr().err
    assert open_store("local", store_path, SystemClock()).run(run.id).attempts == 2


@pytest.mark.parametrize("word", ["latest", "Latest"])
def test_the_word_for_the_latest_run_is_no_run_id(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    with pytest.raises(UsageError, match="it means the latest run"):
        ExperimentContext(run_id=word)
    monkeypatch.setenv("INSTRUMENT_RUN_ID", word)
    with pytest.raises(UsageError, match="it means the latest run"):
        ExperimentContext()
    command = [sys.executable, "-m", "instrument", "run", "--", "echo", "started"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert not store_path.exists()
