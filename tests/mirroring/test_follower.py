"""A live mirror is a process of its own: what happens to one of the two leaves the other alone."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from mirroring import wandb_log
from mirroring.making_runs import RUN_ID, at, begin, end, keep, logged, loss, record_run

from instrument import registry
from instrument.clock import SystemClock
from instrument.mirroring import Follower, start_follower, sync_run
from instrument.protocols import Store
from instrument.vocabulary import RunState

LONG_SECONDS = 120


@pytest.fixture
def store(store_path: Path) -> Store:
    return registry.open_store("local", store_path, SystemClock())


def follow(store: Store) -> Follower:
    return start_follower("wandb", Path(store.location), RUN_ID, offline=True)


def eventually(condition: Callable[[], bool]) -> None:
    while not condition():  # the suite's own time limit ends a test that hangs
        time.sleep(0.02)


def break_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Put another `wandb` before the real one, for child processes."""
    directory = tmp_path / "broken"
    directory.mkdir()
    (directory / "wandb.py").write_text(textwrap.dedent(code))
    monkeypatch.setenv("PYTHONPATH", f"{directory}{os.pathsep}{os.environ['PYTHONPATH']}")


def losses(root: Path) -> list[float]:
    [directory] = wandb_log.run_directories(root)
    history = wandb_log.of_type(wandb_log.inspect(directory), "history")
    return [line["item"]["loss"] for line in history]


def test_a_live_mirror_has_the_whole_run_when_it_ends(store: Store, wandb_root: Path) -> None:
    records = begin(store)
    follower = follow(store)
    for step in range(20):
        records.take(loss(float(step), step), at(step))
    version = keep(store, "model", "model", {"weights.bin": b"\x01" * 100})
    records.take(logged(version), at(30))
    end(records)

    assert follower.wait(LONG_SECONDS), follower.log.read_text()
    assert losses(wandb_root) == [float(step) for step in range(20)]
    [directory] = wandb_log.run_directories(wandb_root)
    [artifact] = wandb_log.of_type(wandb_log.inspect(directory), "artifact")
    assert json.loads(artifact["metadata"])["digest"] == version.digest
    [entry] = artifact["manifest"]["contents"]
    assert Path(entry["local_path"]).is_relative_to(store.location)
    assert "25 records and 1 artifacts" in follower.log.read_text()

    assert follower.failure is None
    again = sync_run(store, "wandb", RUN_ID, offline=True, dry_run=False)
    assert again.skipped is not None
    assert again.skipped.startswith(f"written offline to {directory} at ")
    assert len(wandb_log.run_directories(wandb_root)) == 1


def test_nothing_is_left_in_the_working_directory(
    store: Store, wandb_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_DIR")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    end(begin(store))
    follower = follow(store)
    assert follower.wait(LONG_SECONDS), follower.log.read_text()
    assert list(Path.cwd().iterdir()) == []
    assert list(wandb_root.iterdir()) == []
    assert len(wandb_log.run_directories(Path(store.location) / "mirrors" / "wandb")) == 1


OWNER = """
    import os, signal, sys
    from pathlib import Path
    from instrument import registry
    from instrument.clock import SystemClock
    from instrument.mirroring import start_follower
    from mirroring.making_runs import RUN_ID, at, begin, loss

    store = registry.open_store("local", Path(sys.argv[1]), SystemClock())
    records = begin(store)
    follower = start_follower("wandb", Path(store.location), RUN_ID, offline=True)
    for step in range(50):
        records.take(loss(float(step), step), at(step))
    print(follower.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_mirror_of_a_killed_run_ends_as_interrupted(store: Store, wandb_root: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(OWNER), store.location]
    owner = subprocess.run(command, capture_output=True, text=True, check=False)
    assert owner.returncode == -signal.SIGKILL, owner.stderr
    psutil.Process(int(owner.stdout)).wait()

    assert losses(wandb_root) == [float(step) for step in range(50)]
    [directory] = wandb_log.run_directories(wandb_root)
    lines = wandb_log.inspect(directory)
    assert wandb_log.summary(lines)["instrument.state"] == "INTERRUPTED"
    [left] = wandb_log.of_type(lines, "exit")
    assert left["exit_code"] == 1


def test_a_wandb_that_cannot_be_imported_costs_the_run_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_wandb(tmp_path, monkeypatch, "raise ImportError('broken on purpose')")
    records = begin(store)
    follower = follow(store)
    records.take(loss(1.0, 0), at(1))
    end(records)

    assert not follower.wait(LONG_SECONDS)
    why = "the mirror could not begin: ImportError: broken on purpose"
    assert why in follower.log.read_text()
    assert follower.failure == why
    run = store.run(RUN_ID)
    assert (run.state, run.metrics) == (RunState.COMPLETED, {"loss": 1.0})
    assert not list((Path(store.location) / "mirrors").rglob("*.json"))


def test_a_wandb_that_hangs_is_left_to_itself(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_wandb(tmp_path, monkeypatch, "import time\nprint('here', flush=True)\ntime.sleep(3600)")
    end(begin(store))
    follower = follow(store)
    eventually(lambda: "here" in follower.log.read_text())

    assert not follower.wait(0.01)
    assert follower.failure is None
    process = psutil.Process(follower.pid)
    assert process.is_running()
    process.kill()
    eventually(lambda: not psutil.pid_exists(follower.pid))  # it leaves no zombie behind


def test_ctrl_c_is_for_the_run_and_not_for_its_mirror(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_wandb(tmp_path, monkeypatch, "import time\nprint('here', flush=True)\ntime.sleep(3600)")
    end(begin(store))
    follower = follow(store)
    eventually(lambda: "here" in follower.log.read_text())
    try:
        assert os.getsid(follower.pid) == follower.pid
        status = Path(f"/proc/{follower.pid}/status").read_text()
        ignored = int(re.findall(r"SigIgn:\s*([0-9a-f]+)", status)[0], 16)
        assert ignored & 1 << (signal.SIGINT - 1)
        assert Path(f"/proc/{follower.pid}/fd/0").readlink() == Path(os.devnull)
    finally:
        os.kill(follower.pid, signal.SIGKILL)
        assert not follower.wait(LONG_SECONDS)
        assert follower.failure == "it was ended by signal 9"


def test_where_the_store_takes_no_log_a_temporary_file_does(store: Store, wandb_root: Path) -> None:
    end(begin(store))
    (Path(store.location) / "mirrors").write_bytes(b"in the way")
    follower = follow(store)
    assert follower.wait(LONG_SECONDS)
    assert not follower.log.is_relative_to(store.location)
    assert "this could not be noted in the store" in follower.log.read_text()
    follower.log.unlink()


def test_a_run_that_is_not_there_is_an_error_in_the_log(store: Store) -> None:
    end(begin(store))
    follower = start_follower("wandb", Path(store.location), "nosuchrun", offline=True)
    assert not follower.wait(LONG_SECONDS)
    assert follower.failure is not None
    assert follower.failure.startswith("error: ")
    assert "Traceback" not in follower.log.read_text()


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_offline_nothing_is_asked_of_the_network(
    store: Store, wandb_root: Path, tmp_path: Path
) -> None:
    record_run(store, loss(1.0, 0), logged(keep(store, "model", "model", {"w": b"w"})))
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-e", "trace=network", "-o", str(trace), sys.executable, "-P"]
    command += ["-m", "instrument.mirroring", "wandb", store.location, RUN_ID, "--offline"]
    subprocess.run(command, check=True, capture_output=True)

    assert len(wandb_log.run_directories(wandb_root)) == 1
    calls = trace.read_text()
    assert "AF_UNIX" in calls  # wandb's own service was seen
    addresses = re.findall(r'(?:sin_addr=inet_addr\(|inet_pton\(AF_INET6, )"([^"]+)"', calls)
    assert set(addresses) <= {"127.0.0.1", "::1"}
