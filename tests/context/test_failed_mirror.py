"""A mirror that fails while the run goes on: the run does not notice, its record does."""

import os
import subprocess
import sys
from pathlib import Path

from instrument.clock import SystemClock
from instrument.registry import open_store
from instrument.vocabulary import RunState

SCRIPT = """
import time
from instrument import ExperimentContext
with ExperimentContext(backend=["local", "wandb"], capture_level=1) as run:
    run.log_metrics({"loss": 0.5}, step=0)
    deadline = time.monotonic() + 60
    log = run.recording.store.location + "/mirrors/wandb/" + run.id + ".log"
    while time.monotonic() < deadline and "broken on purpose" not in open(log).read():
        time.sleep(0.05)
    time.sleep(1)
print("done")
"""


def run_with_a_broken_mirror(tmp_path: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "wandb.py").write_text("raise ImportError('broken on purpose')\n")
    path = os.pathsep.join([str(broken), os.environ["PYTHONPATH"]])
    return subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": path, **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_failure_is_on_the_record_with_its_reason(store_path: Path, tmp_path: Path) -> None:
    result = run_with_a_broken_mirror(tmp_path)
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr
    run = open_store("local", store_path, SystemClock()).run("latest")
    assert run.state is RunState.COMPLETED
    assert run.metrics == {"loss": 0.5}
    [problem] = run.recording.problems
    assert problem.startswith("could not feed the wandb mirror")
    assert "broken on purpose" in problem
    assert not run.recording.complete


def test_a_strict_run_is_closed_and_sealed_before_the_failure_is_raised(
    store_path: Path, tmp_path: Path
) -> None:
    result = run_with_a_broken_mirror(tmp_path, INSTRUMENT_STRICT="1")
    assert (result.returncode, result.stdout) == (1, "")
    assert "broken on purpose" in result.stderr
    (seal,) = store_path.glob("runs/*/*/run.json")
    run = open_store("local", store_path, SystemClock()).run("latest")
    assert (run.id, run.state, run.metrics) == (
        seal.parent.name,
        RunState.COMPLETED,
        {"loss": 0.5},
    )
    assert not list((store_path / "open").iterdir())
