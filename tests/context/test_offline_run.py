"""What a plain run asks of the network, and what it loads: nothing."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from capture.repositories import make_repository

HEAVY = (
    "git", "numpy", "pandas", "pydantic", "requests", "rich", "torch", "transformers", "urllib3",
    "wandb",
)  # fmt: skip
PLAIN = """
import json, sys
from instrument import ExperimentContext
with ExperimentContext(name="x") as run:
    run.log_params({"lr": 0.1})
    run.log_metrics({"loss": 0.5})
print(json.dumps(sorted(sys.modules)))
"""
FULL = """
import pickle, time
from pathlib import Path
from instrument import ExperimentContext, checkpoint, log_metrics, reproducible, track_artifacts

@reproducible(seed=1)
@track_artifacts(outputs=["model"])
def train():
    for step in range(3):
        log_metrics({"loss": 1 / (step + 1)}, step=step)
    return {"weights": [1.0, 2.0]}

with ExperimentContext(name="x", capture_level=3) as run:
    Path("data.csv").write_text("a,b\\n1,2\\n")
    run.log_artifact("data", file_path="data.csv")
    run.use_artifact("data")
    train()
    time.sleep(0.5)  # telemetry takes its first samples
"""


def test_a_run_speaks_to_nobody_beyond_this_machine(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r", {"train.py": FULL.encode()})
    (repository / "new.py").write_text("x = 1\n")
    calls = _network_calls(tmp_path / "trace", "train.py", repository)
    assert _families(calls) <= {"AF_UNIX"}, calls
    assert not re.search(r"\b(?:sin6?_addr|inet_addr|inet_pton)\b", calls), calls
    assert _recording(repository)["complete"] is True


def test_a_program_that_opens_a_socket_is_seen(tmp_path: Path) -> None:
    (tmp_path / "open.py").write_text(
        "import socket, threading\n"
        "threading.Thread(target=socket.socket, args=(socket.AF_INET, socket.SOCK_DGRAM)).start()\n"
    )
    assert _families(_network_calls(tmp_path / "trace", "open.py", tmp_path)) == {"AF_INET"}


def test_a_plain_run_in_a_repository_loads_nothing_heavy(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r", {"train.py": PLAIN.encode()})
    (repository / "new.py").write_text("x = 1\n")
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=repository, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert "instrument" in loaded
    assert not loaded & set(HEAVY)


def _network_calls(trace: Path, script: str, directory: Path) -> str:
    """What `script` and all that it starts ask of the network."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: nobody watches what a run asks of the network")
    command = ["strace", "-f", "-qq", "-e", "trace=network", "-o", str(trace), sys.executable]
    done = subprocess.run([*command, script], cwd=directory, capture_output=True, check=False)
    if b"Operation not permitted" in done.stderr and b"strace" in done.stderr:
        pytest.skip("strace may trace nothing here: nobody watches what a run asks of the network")
    assert done.returncode == 0, done.stderr.decode()
    return trace.read_text()


def _families(calls: str) -> set[str]:
    return set(re.findall(r"\bsocket(?:pair)?\((\w+)", calls))


def _recording(repository: Path) -> Any:
    listed = subprocess.run(
        [sys.executable, "-m", "instrument", "runs", "show", "x", "--json"],
        cwd=repository,
        capture_output=True,
        check=True,
    )
    return json.loads(listed.stdout)["recording"]
