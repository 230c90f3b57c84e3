"""`instrument run` is killed; what it ran lives on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

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


def test_a_command_that_outlives_the_recorder_is_not_called_killed(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "instrument", "run", "--", sys.executable, "train.py"]
    recorder = subprocess.Popen(command, cwd=tmp_path)
    _until((tmp_path / "pid").exists)
    os.kill(recorder.pid, signal.SIGKILL)
    recorder.wait(timeout=30)
    (tmp_path / "go").touch()
    _until(lambda: cli("runs", "show", "latest", "--json").json["state"] != "RUNNING")
    run = cli("runs", "show", "latest", "--json").json
    assert (run["state"], run["ended_by"]) == ("INTERRUPTED", "unrecorded")
    assert run["metrics"] == {"loss": 0.5}
    assert any(
        "the command, went on and ended in order" in note for note in run["recording"]["notes"]
    )
    page = cli("runs", "show", "latest").out
    assert "no end was recorded; what records the run was killed" in page
    assert "the command, went on and ended in order" in page


def _until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)
