"""Ranks of one run die by SIGKILL at random moments: what each was told is recorded is there."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from faults.after_a_kill import noted
from faults.ranks import RANKS

from instrument.clock import SystemClock
from instrument.protocols import Store
from instrument.records import Metrics
from instrument.registry import open_store
from instrument.vocabulary import RunState

SCRIPT = Path(__file__).with_name("ranks.py")


class Said(NamedTuple):
    """What the ranks of one job told, in whole lines."""

    pids: dict[int, int]
    run_id: str
    steps: dict[int, int]
    artifacts: list[tuple[str, str]]


class Job:
    """The running ranks, in a process group of their own."""

    def __init__(self) -> None:
        self.launcher = subprocess.Popen(
            [sys.executable, str(SCRIPT)], stdout=subprocess.PIPE, process_group=0
        )
        assert self.launcher.stdout is not None
        self._output = self.launcher.stdout.fileno()
        self._data = b""

    def read_until_all_record(self) -> Said:
        """Wait for the first step of each rank."""
        while len((said := self.said()).steps) < RANKS:
            self._read()
        return said

    def read_for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._read()

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    def kill_all(self) -> Said:
        """Kill whoever lives; what was said until then."""
        with suppress(ProcessLookupError):
            os.killpg(self.launcher.pid, signal.SIGKILL)
        while self._read():
            pass
        self.launcher.wait()
        assert self.launcher.stdout is not None
        self.launcher.stdout.close()
        return self.said()

    def said(self) -> Said:
        found = Said({}, "", defaultdict(int), [])
        for words in self._lines():
            match words:
                case ["rank", rank, pid, run_id]:
                    found.pids[int(rank)] = int(pid)
                    found = found._replace(run_id=run_id)
                case ["step", rank, step]:
                    found.steps[int(rank)] = int(step) + 1
                case ["artifact", ref, digest]:
                    found.artifacts.append((ref, digest))
        return found

    def _lines(self) -> Iterator[list[str]]:
        for line in self._data.split(b"\n")[:-1]:
            yield line.decode().split()

    def _read(self) -> bool:
        data = os.read(self._output, 1 << 20)
        self._data += data
        return bool(data)


def check(store: Store, said: Said) -> None:
    """Nothing that was acknowledged is missing; nobody wrote into another's journal."""
    steps = defaultdict(list)
    ranks_of: dict[str, set[int]] = defaultdict(set)
    for entry in store.entries(said.run_id):
        match entry.record:
            case Metrics(values=values, step=step):
                [name] = values
                steps[int(name.removeprefix("loss"))].append(step)
                ranks_of[entry.writer].add(int(name.removeprefix("loss")))
    for rank, acknowledged in said.steps.items():
        assert steps[rank] == list(range(len(steps[rank]))), rank
        assert len(steps[rank]) >= acknowledged, rank
    assert all(len(ranks) == 1 for ranks in ranks_of.values())
    run = store.run(said.run_id)
    assert run.state is RunState.INTERRUPTED
    for ref, digest in said.artifacts:
        assert ref in run.outputs
        store.get_bytes(digest)


def kill_ranks(path: Path, kills: int) -> None:
    """Kill `kills` ranks: of each job some one by one, the rest together."""
    store = open_store("local", path, SystemClock())
    killed = acknowledged = 0
    while killed < kills:
        job = Job()
        try:
            pids = dict(job.read_until_all_record().pids)
            job.read_for(random.uniform(0, 0.15))
            for rank in random.sample(range(RANKS), random.randrange(RANKS)):
                job.kill(pids[rank])
                job.read_for(random.uniform(0, 0.05))
        finally:
            said = job.kill_all()
        check(store, said)
        killed += RANKS
        acknowledged += sum(said.steps.values())
    left = ", ".join(noted(store)) or "nothing"
    print(f"\n{killed} ranks killed, {acknowledged} records acknowledged, 0 lost, {left} noted")


@pytest.mark.faults
def test_a_dozen_killed_ranks_lose_nothing(store_path: Path) -> None:
    kill_ranks(store_path, 12)


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_five_hundred_killed_ranks_lose_nothing(store_path: Path) -> None:
    kill_ranks(store_path, 500)
