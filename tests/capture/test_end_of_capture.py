"""However much of the capture hangs, and in how many places: the end of a run waits once."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from instrument import ExperimentContext
from instrument.background import Background
from instrument.capture.code import CodeReading
from instrument.clock import SystemClock
from instrument.records import EnvironmentCaptured, Problem, ProcessFinished, RunFinished
from instrument.registry import open_store

ALL_HANG = """
import ctypes, time
import instrument.intercept.loads as loads
from instrument import background, console, recording
from instrument.capture import snapshot
from instrument.capture.code import CodeReading
from instrument.console.lines import Lines
from instrument.telemetry import sampler

def hang(*_, **__):
    ctypes.CDLL(None).sleep(1000)

background.END_SECONDS = recording.END_SECONDS = 0.5
background.TELEMETRY_DELAY_SECONDS = 0
snapshot.TOTAL_SECONDS, snapshot.PLACE_SECONDS = 0.1, 0.1
snapshot._call = CodeReading.complete = Lines.feed = sampler.make_probes = hang
sampler.interval_at = lambda *_: 0.01
loads.complete = lambda recorder, seconds: time.sleep(seconds)

from instrument import ExperimentContext
with ExperimentContext(name="stuck") as run:
    print("trained")
    time.sleep(1.5)
"""
EACH_BY_ITSELF_SECONDS = 10 + 10 + 2 + 5


def test_all_that_hangs_is_waited_for_once(store_path: Path) -> None:
    command = [sys.executable, "-c", ALL_HANG]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stdout) == (0, "trained\n"), done.stderr
    store = open_store("local", store_path, SystemClock())
    [run] = store.runs()
    records = [entry.record for entry in store.entries(run.id)]
    doing = {each.doing for each in records if isinstance(each, Problem)}
    assert doing == {
        "finish the capture of the environment",
        "stop telemetry",
        "record what was printed",
    }
    [end] = [each for each in records if isinstance(each, RunFinished)]
    assert str(end.state) == "COMPLETED"
    [last] = [each for each in records if isinstance(each, ProcessFinished)]
    assert last.overhead["blocking_seconds"] < EACH_BY_ITSELF_SECONDS / 2


def test_code_that_takes_long_does_not_hold_up_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete, keep, is_kept = CodeReading.complete, Background._keep_snapshot, threading.Event()

    def complete_late(self: CodeReading) -> Any:
        assert is_kept.wait(60)
        return complete(self)

    def keep_snapshot(self: Background, level: int) -> None:
        keep(self, level)
        is_kept.set()

    monkeypatch.setattr(CodeReading, "complete", complete_late)
    monkeypatch.setattr(Background, "_keep_snapshot", keep_snapshot)
    with ExperimentContext(store=tmp_path, monitor_hardware=False) as run:
        pass
    store = open_store("local", tmp_path, SystemClock())
    records = [entry.record for entry in store.entries(run.id)]
    assert [each for each in records if isinstance(each, EnvironmentCaptured)]
    assert not [each for each in records if isinstance(each, Problem)]
