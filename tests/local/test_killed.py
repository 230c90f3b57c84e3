"""Processes die by kill -9 at any moment: what was acknowledged is there, and the run says so."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from local import writer

from instrument.clock import SystemClock
from instrument.records import Metrics
from instrument.vocabulary import RunState
from instrument_local import LocalStore, open_store

NEVER = "1000000000"


def _kill_at_a_random_moment(store: Path, run_id: str, delay_seconds: float) -> int:
    """Kill a writer `delay_seconds` after its first record; how many it had acknowledged."""
    reading, writing = os.pipe()
    command = [sys.executable, writer.__file__, str(store), run_id, NEVER, str(writing)]
    process = subprocess.Popen(command, pass_fds=[writing])
    os.close(writing)
    acknowledged = len(os.read(reading, 1))
    deadline = time.monotonic() + delay_seconds
    while time.monotonic() < deadline:
        acknowledged += len(os.read(reading, 1 << 20))
    process.send_signal(signal.SIGKILL)
    process.wait()
    while data := os.read(reading, 1 << 20):
        acknowledged += len(data)
    os.close(reading)
    return acknowledged


def _check(store: LocalStore, run_id: str, acknowledged: int) -> None:
    entries = list(store.entries(run_id))
    steps = [entry.record.step for entry in entries if isinstance(entry.record, Metrics)]
    assert acknowledged > 0
    assert steps == list(range(len(steps)))
    assert acknowledged <= len(steps) <= acknowledged + 1
    run = store.run(run_id)
    assert run.state is RunState.INTERRUPTED
    assert not run.recording.complete
    result = store.verify(run_id)
    assert result.ok
    assert [problem.kind for problem in result.problems] in ([], ["torn_tail"])


def _kill_again_and_again(path: Path, times: int) -> None:
    store = open_store(path, SystemClock())
    counts = {}
    for number in range(times):
        run_id = f"20260101-000000-{number:012x}"
        counts[run_id] = _kill_at_a_random_moment(path, run_id, random.uniform(0, 0.05))
        _check(store, run_id, counts[run_id])
    assert {run.id for run in store.runs() if run.state is RunState.INTERRUPTED} == set(counts)
    for run_id in counts:
        assert store.seal(run_id).state is RunState.INTERRUPTED
    result = store.verify()
    assert result.ok
    assert all(problem.kind == "torn_tail" for problem in result.problems)
    assert list(path.glob("open/*")) == []


@pytest.mark.faults
def test_twenty_kills(store_path: Path) -> None:
    _kill_again_and_again(store_path, 20)


@pytest.mark.slow
@pytest.mark.faults
def test_two_hundred_kills(store_path: Path) -> None:
    _kill_again_and_again(store_path, 200)


def test_a_thousand_records_are_there_at_once(store_path: Path) -> None:
    reading, writing = os.pipe()
    command = [sys.executable, writer.__file__, str(store_path), "20260101-x", NEVER, str(writing)]
    process = subprocess.Popen(command, pass_fds=[writing])
    os.close(writing)
    count = 0
    while count < 1000:
        count += len(os.read(reading, 1000))
    process.kill()
    store = open_store(store_path, SystemClock())  # not waited for: a zombie is dead
    while store.run("latest").state is RunState.RUNNING:
        time.sleep(0.01)  # the signal is on its way
    assert store.run("latest").state is RunState.INTERRUPTED
    assert len(list(store.entries("20260101-x"))) > 1000
    process.wait()
    os.close(reading)
