"""`instrument run` is killed; what it ran lives on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli.support import Cli

SCRIPT = """
import pathlib, time
from instrument import ExperimentContext
with ExperimentContext() as run:
    pathlib.Path("pid").write_text("")
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    run.log_metrics({"loss": 0.5})
"""

UNTOUCHED = """
import os, pathlib, time
import torch
os.fork() or os._exit(0)
pathlib.Path("pid").write_text("")
while not pathlib.Path("go").exists():
    time.sleep(0.01)
"""


def test_a_command_that_outlives_the_recorder_is_not_called_killed(
    cli: Cli, tmp_path: Path
) -> None:
    run = _outlives(cli, tmp_path, SCRIPT)
    assert run["metrics"] == {"loss": 0.5}
    page = cli("runs", "show", "latest").out
    assert "no end was recorded; what records the run was killed" in page
    assert "the command, went on and ended in order" in page


def test_so_it_is_with_a_program_that_nobody_touched(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    _outlives(cli, tmp_path, UNTOUCHED)


def _outlives(cli: Cli, tmp_path: Path, script: str) -> Any:
    """The run of `script`, whose `instrument run` was killed; its end is in the notes, once."""
    (tmp_path / "train.py").write_text(script)
    command = [sys.executable, "-m", "instrument", "run", "--", sys.executable, "train.py"]
    recorder = subprocess.Popen(command, cwd=tmp_path)
    _until((tmp_path / "pid").exists)
    os.kill(recorder.pid, signal.SIGKILL)
    recorder.wait(timeout=30)
    (tmp_path / "go").touch()
    _until(lambda: cli("runs", "show", "latest", "--json").json["state"] != "RUNNING")
    run = cli("runs", "show", "latest", "--json").json
    assert (run["state"], run["ended_by"]) == ("INTERRUPTED", "unrecorded")
    told = "the command, went on and ended in order"
    assert sum(told in note for note in run["recording"]["notes"]) == 1, run["recording"]
    return run


def _until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)
