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


def test_the_failure_is_on_the_record_with_its_reason(store_path: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "wandb.py").write_text("raise ImportError('broken on purpose')\n")
    path = os.pathsep.join([str(broken), os.environ["PYTHONPATH"]])
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr
    run = open_store("local", store_path, SystemClock()).run("latest")
    assert run.state is RunState.COMPLETED
    assert run.metrics == {"loss": 0.5}
    [problem] = run.recording.problems
    assert problem.startswith("could not feed the wandb mirror")
    assert "broken on purpose" in problem
    assert not run.recording.complete
