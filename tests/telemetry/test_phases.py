"""``run.phase`` through the public face."""

import asyncio
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instrument import ExperimentContext
from instrument.errors import UsageError
from instrument.records import (
    PhaseFinished,
    PhaseStarted,
    ProcessStarted,
    Record,
    TelemetrySampled,
)


def phases_of(run: ExperimentContext) -> dict[str, Any]:
    assert run.store is not None
    return dict(run.store.run(run.id).telemetry["phases"])


def records_of(run: ExperimentContext, kind: type[Record]) -> list[Any]:
    assert run.store is not None
    return [e.record for e in run.store.entries(run.id) if isinstance(e.record, kind)]


def test_phases_nest_and_repeat() -> None:
    with ExperimentContext(monitor_hardware=False) as run, run.phase("train") as train:
        for _ in range(3):
            with run.phase("step"):
                sum(range(100_000))
    found = phases_of(run)
    assert train.path == "train"
    assert list(found) == ["train", "train/step"]
    assert (found["train"]["count"], found["train/step"]["count"]) == (1, 3)
    assert 0 < found["train/step"]["duration_seconds"] <= found["train"]["duration_seconds"]
    assert found["train/step"]["cpu_seconds"] > 0


def test_the_exception_passes_and_is_named() -> None:
    error = ZeroDivisionError("mine")
    with (
        pytest.raises(ZeroDivisionError) as raised,
        ExperimentContext(monitor_hardware=False) as run,
        run.phase("train"),
    ):
        raise error
    assert raised.value is error
    assert [record.error for record in records_of(run, PhaseFinished)] == ["ZeroDivisionError"]


def test_tasks_and_threads_have_their_own_nesting() -> None:
    async def work(run: ExperimentContext, name: str) -> None:
        async with run.phase(name):
            await asyncio.sleep(0.01)
            with run.phase("inner"):
                await asyncio.sleep(0.01)

    async def both(run: ExperimentContext) -> None:
        await asyncio.gather(work(run, "a"), work(run, "b"))

    def in_thread(run: ExperimentContext) -> None:
        with run.phase("thread"):
            pass

    with ExperimentContext(monitor_hardware=False) as run:
        asyncio.run(both(run))
        with run.phase("outer"):
            thread = threading.Thread(target=in_thread, args=(run,))
            thread.start()
            thread.join()
    assert set(phases_of(run)) == {"a", "a/inner", "b", "b/inner", "outer", "thread"}


def test_a_child_run_s_phases_are_its_own() -> None:
    with (
        ExperimentContext(monitor_hardware=False) as run,
        run.phase("outer"),
        ExperimentContext(monitor_hardware=False) as child,
        child.phase("inner"),
    ):
        pass
    assert list(phases_of(run)) == ["outer"]
    assert list(phases_of(child)) == ["inner"]


@pytest.mark.parametrize("name", ["", "a/b", "x" * 201, 7])
def test_a_name_that_is_none(name: Any) -> None:
    with (
        ExperimentContext(monitor_hardware=False) as run,
        pytest.raises(UsageError, match="cannot name a phase"),
    ):
        run.phase(name)


def test_a_phase_is_entered_once() -> None:
    with ExperimentContext(monitor_hardware=False) as run:
        phase = run.phase("train")
        with phase:
            pass
        with pytest.raises(UsageError, match="was entered before"):
            phase.__enter__()


def test_nothing_is_recorded_when_recording_is_disabled(
    monkeypatch: pytest.MonkeyPatch, store_path: Path
) -> None:
    monkeypatch.setenv("INSTRUMENT_MODE", "disabled")
    with ExperimentContext() as run, run.phase("train"):
        pass
    assert not store_path.exists()


KILLED = """
import os, signal, time
from instrument import ExperimentContext
run = ExperimentContext(name="killed").start()
with run.phase("load"):
    pass
with run.phase("train"):
    while sum(e.record.__class__.__name__ == "TelemetrySampled"
              for e in run.store.entries(run.id)) < 2:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_kill_9_every_sample_and_the_phase_it_died_in_are_known(python: str) -> None:
    done = subprocess.run([python, "-c", KILLED], check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    command = [python, "-m", "instrument", "runs", "list", "--json"]
    listed = subprocess.run(command, check=True, capture_output=True).stdout
    telemetry = msgspec.json.decode(listed)[0]["telemetry"]
    assert telemetry["samples"] == 2
    phases = telemetry["phases"]
    assert (phases["load"]["count"], phases["load"]["open"]) == (1, 0)
    assert (phases["train"]["count"], phases["train"]["open"]) == (0, 1)
    memory = phases["train"]["readings"]["process.memory_bytes"]
    assert memory["max"] == telemetry["readings"]["process.memory_bytes"]["max"]


def test_the_user_s_cuda_is_not_started() -> None:
    torch = pytest.importorskip("torch")
    with ExperimentContext(monitor_hardware=False) as run, run.phase("train"):
        pass
    assert not torch.cuda.is_initialized()
    assert len(records_of(run, PhaseStarted)) == 1


RANK = """
import os, time
from instrument import ExperimentContext
with ExperimentContext(name="ranks") as run:
    with run.phase("train"):
        time.sleep(2.2)
"""


def test_a_node_is_watched_by_one_of_its_ranks(python: str) -> None:
    nodes = {"0": "0", "1": "1", "2": "0"}  # rank 2 is the first one of a second node
    common = {"WORLD_SIZE": "3", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}
    ranks = [
        subprocess.Popen(
            [python, "-c", RANK], env={**os.environ, **common, "RANK": rank, "LOCAL_RANK": local}
        )
        for rank, local in nodes.items()
    ]
    assert [rank.wait() for rank in ranks] == [0, 0, 0]
    store = ExperimentContext().store
    assert store is not None
    run = store.run("latest")
    rank_of: dict[str, str] = {}
    readings: dict[str, set[str]] = {}
    for entry in store.entries(run.id):
        if isinstance(entry.record, ProcessStarted):
            rank_of[entry.writer] = str(entry.record.rank)
        elif isinstance(entry.record, TelemetrySampled):
            readings.setdefault(rank_of[entry.writer], set()).update(entry.record.values)
    watching = {rank for rank, names in readings.items() if "host.memory_used_bytes" in names}
    assert readings.keys() == {"0", "1", "2"}
    assert watching == {"0", "2"}
    assert all("process.memory_bytes" in names for names in readings.values())
    assert run.telemetry["phases"]["train"]["processes"] == 3
    assert "host.memory_used_bytes" in run.telemetry["readings"]
