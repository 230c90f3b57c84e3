"""Killed at any moment, a run keeps everything whose call had returned."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults.after_a_kill import noted

from instrument.clock import SystemClock
from instrument.protocols import Store
from instrument.records import Metrics
from instrument.registry import open_store
from instrument.vocabulary import RunState

VICTIM = Path(__file__).with_name("killed_run.py")


def kill_after(seconds: float) -> list[list[str]]:
    """Start the victim, kill it; the words of each whole line it said."""
    child = subprocess.Popen([sys.executable, str(VICTIM)], stdout=subprocess.PIPE)
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    said, _ = child.communicate()
    assert child.returncode == -signal.SIGKILL
    return [line.decode().split() for line in said.split(b"\n")[:-1]]


def check(store: Store, said: list[list[str]]) -> str:
    """Hold the store against what the victim had been told was recorded."""
    run_id = said[0][1]
    steps = {
        entry.record.step for entry in store.entries(run_id) if isinstance(entry.record, Metrics)
    }
    acknowledged = {int(words[1]) for words in said if words[0] == "step"}
    assert acknowledged <= steps
    run = store.run(run_id)
    assert run.state is RunState.INTERRUPTED
    for words in said:
        if words[0] == "artifact":
            assert words[1] in run.outputs
            assert store.get_bytes(words[2])
    return run_id


def seconds_to_start() -> float:
    """How long the victim takes to its first record here and now: the machine may be busy."""
    began = time.monotonic()
    with subprocess.Popen([sys.executable, str(VICTIM)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.kill()
    return time.monotonic() - began


def kill_and_check(path: Path, moments: int) -> None:
    """Kill at moments before, during and after the start; nothing that was said may be missing."""
    store = open_store("local", path, SystemClock())
    start = seconds_to_start()
    said = [kill_after(random.uniform(0.3 * start, 4 * start)) for _ in range(moments)]
    checked = [check(store, words) for words in said if words]
    assert checked
    kinds = noted(store)
    assert len(kinds) <= moments
    left = ", ".join(kinds) or "nothing"
    print(f"\n{moments} kills, {len(checked)} runs checked, {left} noted, 0 records lost")


@pytest.mark.faults
def test_ten_kills_lose_nothing(store_path: Path) -> None:
    kill_and_check(store_path, 10)


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_hundred_kills_lose_nothing(store_path: Path) -> None:
    kill_and_check(store_path, 200)
