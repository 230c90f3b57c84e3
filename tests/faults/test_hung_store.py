"""A store that does not answer any more (T59): training goes on, and the process ends in time."""

import importlib
import inspect
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from instrument.clock import SystemClock
from instrument.records import Metrics
from instrument.registry import open_store
from instrument.vocabulary import RunState

HUNG_FS = Path(__file__).with_name("hung_fs.py")
PATIENCE_SECONDS = 2.0
# What a busy machine may add to a wait of two seconds.
SLACK_SECONDS = 8.0


def stop(server: int, waiting: str) -> None:
    """Stop the file system while it has no request: from one it has taken nothing gets out."""
    while True:
        os.kill(server, signal.SIGSTOP)
        time.sleep(0.05)
        if Path(waiting).read_text() == "0\n":
            return
        os.kill(server, signal.SIGCONT)
        time.sleep(0.05)


SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from instrument import ExperimentContext
{stop}
server, waiting = int(sys.argv[1]), sys.argv[2]
longest = 0.0
with ExperimentContext({{"lr": 0.1}}, name="hung", capture_level=1, monitor_hardware=False) as run:
    for step in range(30):
        if step == 10:
            time.sleep(3)  # all is written and synced
            stop(server, waiting)
        if step == {heals_at}:
            os.kill(server, signal.SIGCONT)
        began = time.monotonic()
        run.log_metrics({{"loss": 0.5}}, step=step)
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.02)
    {last}
    print(run.id)
    ended = time.monotonic()
print("longest", longest)
print("end", time.monotonic() - ended)
sys.exit(7)
"""


SHORT = """
from instrument import ExperimentContext
with ExperimentContext(capture_level=1) as run:
    run.log_metrics({"loss": 0.5})
print("done")
"""


class Hung(NamedTuple):
    """A store on a file system that hangs while the process `server` is stopped."""

    store: Path
    behind: Path
    server: subprocess.Popen[bytes]
    waiting: Path
    temporary: Path

    def stop(self) -> None:
        stop(self.server.pid, str(self.waiting))

    def run(self, script: str) -> "subprocess.CompletedProcess[str]":
        """`script` as a process of its own, which a store that hangs cannot keep for ever."""
        command = [sys.executable, "-c", script, str(self.server.pid), str(self.waiting)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
            try:
                stdout, stderr = process.communicate(timeout=60)
            except BaseException:
                self.server.kill()  # whoever waits gets an error, and can be killed
                process.kill()
                raise
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


@pytest.fixture
def hung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hung]:
    try:
        importlib.import_module("mfusepy")
    except (ImportError, OSError) as missing:  # the package, or the library of the system
        pytest.skip(f"SKIPPED LOUDLY: no file system can be made to hang here: {missing}")
    if not Path("/dev/fuse").exists():
        pytest.skip("SKIPPED LOUDLY: there is no FUSE here")
    names = ("behind", "mounted", "temporary", "control")
    behind, place, temporary, control = (tmp_path / name for name in names)
    for directory in (behind, place, temporary, control):
        directory.mkdir()
    command = [sys.executable, str(HUNG_FS), str(behind), str(place)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not place.is_mount():
        if server.poll() is not None or time.monotonic() > deadline:
            pytest.skip("SKIPPED LOUDLY: FUSE cannot be mounted here")
        time.sleep(0.05)
    if subprocess.run(["mount", "-t", "fusectl", "none", control], check=False).returncode != 0:
        server.kill()
        pytest.skip("SKIPPED LOUDLY: how much FUSE waits for cannot be seen here")
    monkeypatch.setenv("INSTRUMENT_STORE", str(place / "store"))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.delenv("SLURM_TMPDIR", raising=False)
    waiting = control / str(os.minor(place.stat().st_dev)) / "waiting"
    yield Hung(place / "store", behind / "store", server, waiting, temporary)
    server.kill()  # whoever still waits gets an error
    server.wait()
    for mounted in (place, control):
        subprocess.run(["umount", "--lazy", str(mounted)], check=False)


def run_script(
    hung: Hung, *, heals_at: int = 1000, last: str = "pass"
) -> tuple[dict[str, float], str, str]:
    """The times that the script tells, the run, and its stderr."""
    stops = inspect.getsource(stop)
    result = hung.run(SCRIPT.format(stop=stops, heals_at=heals_at, last=last))
    assert result.returncode == 7, result.stderr
    assert "Traceback" not in result.stderr
    run_id, *times = result.stdout.splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in times}, run_id, result.stderr


def steps_in(store: Path, run_id: str) -> list[int | None]:
    entries = open_store("local", store, SystemClock()).entries(run_id)
    return [entry.record.step for entry in entries if isinstance(entry.record, Metrics)]


@pytest.mark.faults
def test_t59_training_goes_on_and_the_process_ends_in_time(hung: Hung) -> None:
    seconds, run_id, told = run_script(hung)
    assert seconds["longest"] < PATIENCE_SECONDS + SLACK_SECONDS
    assert seconds["end"] < PATIENCE_SECONDS + SLACK_SECONDS
    assert "does not answer" in told
    (spool,) = hung.temporary.glob("instrument-spool-*/*")
    assert f"`instrument repair --from {spool}` adds it" in told
    # Together the two have everything, and nothing twice but what was under way when it hung.
    hung.server.send_signal(signal.SIGCONT)
    kept, waiting = steps_in(hung.behind, run_id), steps_in(spool, run_id)
    assert set(kept) | set(waiting) == set(range(30))
    assert len(kept) + len(waiting) <= 31
    command = [sys.executable, "-m", "instrument", "--store", str(hung.behind), "repair"]
    subprocess.run([*command, "--from", str(spool)], check=True)
    assert not spool.exists()
    store = open_store("local", hung.behind, SystemClock())
    assert store.run(run_id).state is RunState.COMPLETED
    assert store.verify().ok


@pytest.mark.faults
def test_a_store_that_answers_again_gets_everything_once(hung: Hung) -> None:
    wait = "time.sleep(4)"  # the background looks every second
    _, run_id, told = run_script(hung, heals_at=25, last=wait)
    assert "does not answer" not in told
    assert steps_in(hung.behind, run_id) == list(range(30))
    store = open_store("local", hung.behind, SystemClock())
    run = store.run(run_id)
    assert (run.state, run.recording.problems) == (RunState.COMPLETED, [])
    assert store.verify().ok
    assert list(hung.temporary.glob("instrument-spool-*/*")) == []


@pytest.mark.faults
def test_a_store_that_hangs_from_the_beginning_is_told(hung: Hung) -> None:
    hung.stop()
    began = time.monotonic()
    result = hung.run(SHORT)
    assert (result.returncode, result.stdout) == (0, "done\n")
    assert "has not answered" in result.stderr
    assert time.monotonic() - began < 10 + 2 * PATIENCE_SECONDS + SLACK_SECONDS
