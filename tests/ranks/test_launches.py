"""The processes that a launcher starts are one run; launches one after another are several."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from ranks.watched_nodes import watching

from instrument.clock import SystemClock
from instrument.protocols import Store
from instrument.records import ProcessStarted
from instrument.registry import open_store
from instrument.summary import RunSummary

PROGRAM = Path(__file__).with_name("rank_program.py")
ROOT = Path(__file__).parents[2]
BROKEN_OFF = """
import os, signal
from instrument import ExperimentContext
with ExperimentContext(name="long", capture_level=1, monitor_hardware=False) as run:
    run.log_metrics({"loss": 1.0}, step=0)
    if os.environ.get("SLURM_RESTART_COUNT") is None:
        os.kill(os.getpid(), signal.SIGTERM)
"""


def environment(more: Mapping[str, str]) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "backends"), str(ROOT / "tests")])
    return {**os.environ, "PYTHONPATH": path, **more}


def torchrun(*arguments: str) -> "subprocess.CompletedProcess[str]":
    pytest.importorskip("torch", reason="torchrun comes with torch")
    command = [sys.executable, "-m", "torch.distributed.run", *arguments]
    return subprocess.run(
        command, env=environment({}), capture_output=True, text=True, timeout=150, check=False
    )


def together(*environments: Mapping[str, str]) -> None:
    """Run the program once in each of `environments`, all at once."""
    started = [
        subprocess.Popen([sys.executable, str(PROGRAM)], env=environment(each))
        for each in environments
    ]
    assert [process.wait(120) for process in started] == [0] * len(started)


def here() -> Store:
    return open_store("local", Path(os.environ["INSTRUMENT_STORE"]), SystemClock())


def by_name(name: str) -> list[RunSummary]:
    return [run for run in here().runs() if run.name == name]


def test_the_ranks_of_torchrun_are_one_run() -> None:
    done = torchrun("--standalone", "--nproc-per-node=4", str(PROGRAM), "watched")
    assert done.returncode == 0, done.stderr
    (watched,) = by_name("watched")
    assert watching(here(), watched.id) == ({0}, {0, 1, 2, 3}), "one rank reads the node"
    ((first,), (inner,), (second,)) = map(by_name, ("first", "inner", "second"))
    assert sorted(first.metrics) == [f"loss_of_rank_{rank}" for rank in range(4)]
    assert inner.parent_run_id == first.id
    for run in (first, inner, second):
        assert (run.state, run.rank_count, run.attempts, len(run.metrics)) == ("COMPLETED", 4, 1, 4)
        assert run.recording.complete
        processes = [entry.record for entry in here().entries(run.id)]
        fields = [record for record in processes if isinstance(record, ProcessStarted)]
        assert sorted((each.rank, each.owner) for each in fields) == [
            (0, True), (1, False), (2, False), (3, False),
        ]  # fmt: skip
        assert {each.scheduler["LOCAL_RANK"] for each in fields} == {"0", "1", "2", "3"}
    assert here().verify().ok


def test_ranks_that_torchrun_starts_again_are_the_next_attempt() -> None:
    done = torchrun(
        "--standalone", "--nproc-per-node=2", "--max-restarts=1", str(PROGRAM), "fail-once"
    )
    assert done.returncode == 0, done.stderr
    (first,) = by_name("first")
    assert (first.state, first.attempts, first.exception) == ("COMPLETED", 2, None)


RANKS = {
    "slurm": [
        {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_PROCID": rank}
        | {"SLURM_STEP_NUM_TASKS": "2", "SLURM_CLUSTER_NAME": "c"}
        for rank in "01"
    ],
    "mpi": [
        {"OMPI_COMM_WORLD_RANK": rank, "OMPI_COMM_WORLD_SIZE": "2", "PMIX_NAMESPACE": "prterun-5@1"}
        for rank in "01"
    ],
    "meeting": [
        {"RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "node1", "MASTER_PORT": "29500"}
        for rank in "01"
    ],
    "parent": [{"RANK": rank, "WORLD_SIZE": "2"} for rank in "01"],
}


@pytest.mark.parametrize("kind", RANKS)
def test_launches_one_after_another_are_several_runs(kind: str) -> None:
    for _ in range(2):
        together(*RANKS[kind])
    for name in ("first", "second"):
        assert [len(run.metrics) for run in by_name(name)] == [2, 2]


def test_launches_beside_one_another_are_several_runs() -> None:
    other = [{**each, "MASTER_PORT": "29501"} for each in RANKS["meeting"]]
    together(*RANKS["meeting"], *other)
    assert [len(run.metrics) for run in by_name("first")] == [2, 2]


def test_ranks_take_part_in_the_run_that_is_named() -> None:
    together(*({**each, "INSTRUMENT_RUN_ID": "my-run"} for each in RANKS["parent"]))
    (run,) = (run for run in here().runs() if run.name != "inner")
    assert {"loss_of_rank_0", "loss_of_rank_1"} <= set(run.metrics)
    # The program's second run is its next attempt; a rank that is late by a whole run shifts that.
    assert run.id == "my-run"
    assert run.attempts in {1, 2, 3}


def job(**more: str) -> None:
    """A process of one SLURM job that the scheduler ends the first time."""
    command = [sys.executable, "-c", BROKEN_OFF]
    subprocess.run(command, env=environment({"SLURM_JOB_ID": "7", **more}), timeout=60, check=False)


def test_a_requeued_job_goes_on_with_the_run_it_broke_off() -> None:
    job()
    job(SLURM_RESTART_COUNT="1")
    (run,) = by_name("long")
    assert (run.attempts, run.state) == (2, "COMPLETED")


def test_nothing_is_guessed_where_a_job_broke_off_two_runs() -> None:
    job()
    job()
    job(SLURM_RESTART_COUNT="1")
    assert [(run.attempts, run.state) for run in by_name("long")] == [
        (1, "COMPLETED"), (1, "INTERRUPTED"), (1, "INTERRUPTED"),
    ]  # fmt: skip


def test_another_job_does_not_go_on_with_it() -> None:
    job()
    job(SLURM_RESTART_COUNT="1", SLURM_JOB_ID="8")
    assert len(by_name("long")) == 2
