"""On a real SLURM of one node: the ranks of a step are one run, a requeued job goes on with its."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ranks.slurm_cluster import Cluster, missing, slurm_cluster
from ranks.watched_nodes import watching

from instrument.clock import SystemClock
from instrument.protocols import Store
from instrument.records import ProcessStarted
from instrument.registry import open_store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(missing() is not None, reason=f"{missing()}: apt-get install slurm-wlm"),
]
PROGRAM = Path(__file__).with_name("rank_program.py")
ROOT = Path(__file__).parents[2]
INTERRUPTED = """
import os, sys, time
from instrument import ExperimentContext
with ExperimentContext(name="long", capture_level=1, monitor_hardware=False) as run:
    restarts = os.environ.get("SLURM_RESTART_COUNT", "0")
    run.log_metrics({"restarts": float(restarts)}, step=0)
    if restarts == "0":
        print("waiting", flush=True)
        time.sleep(300)
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture
def more(tmp_path: Path) -> dict[str, str]:
    """What jobs have in their environment."""
    tmp_path.chmod(0o755)
    path = f"{ROOT}:{ROOT / 'backends'}:{ROOT / 'tests'}"
    return {"INSTRUMENT_STORE": str(tmp_path / "store"), "PYTHONPATH": path}


def store_of(more: dict[str, str]) -> Store:
    return open_store("local", Path(more["INSTRUMENT_STORE"]), SystemClock())


def processes(store: Store, run_id: str) -> list[ProcessStarted]:
    records = (entry.record for entry in store.entries(run_id))
    return [record for record in records if isinstance(record, ProcessStarted)]


def test_the_ranks_of_a_step_are_one_run(cluster: Cluster, more: dict[str, str]) -> None:
    cluster.run("srun", "-n4", sys.executable, str(PROGRAM), more=more)
    store = store_of(more)
    second, inner, first = store.runs()
    assert (first.name, inner.name, second.name) == ("first", "inner", "second")
    for run in (first, inner, second):
        assert (run.state, run.rank_count, len(run.metrics)) == ("COMPLETED", 4, 4)
        assert run.recording.complete
    assert inner.parent_run_id == first.id
    assert sorted(process.rank for process in processes(store, first.id)) == [0, 1, 2, 3]


def test_a_node_is_watched_once(cluster: Cluster, more: dict[str, str]) -> None:
    cluster.run("srun", "-n4", sys.executable, str(PROGRAM), "watched", more=more)
    store = store_of(more)
    (run,) = (run for run in store.runs() if run.name == "watched")
    assert watching(store, run.id) == ({0}, {0, 1, 2, 3})


def test_the_same_step_again_is_another_run(cluster: Cluster, more: dict[str, str]) -> None:
    for _ in range(2):
        cluster.run("srun", "-n2", sys.executable, str(PROGRAM), more=more)
    assert len(store_of(more).runs()) == 6


def test_each_task_of_an_array_is_a_run_with_its_fields(
    cluster: Cluster, more: dict[str, str]
) -> None:
    job = cluster.submit(f"{sys.executable} {PROGRAM}", "--array=0-7", "-n1", more=more)
    cluster.wait(job)
    store = store_of(more)
    runs = [run for run in store.runs() if run.name == "first"]
    assert len(runs) == 8
    fields = [processes(store, run.id)[0].scheduler for run in runs]
    assert {field["SLURM_ARRAY_JOB_ID"] for field in fields} == {job}
    assert sorted(int(field["SLURM_ARRAY_TASK_ID"]) for field in fields) == list(range(8))
    assert len({field["SLURM_JOB_ID"] for field in fields}) == 8


def test_a_requeued_job_goes_on_with_its_run(
    cluster: Cluster, more: dict[str, str], tmp_path: Path
) -> None:
    script = tmp_path / "long.py"
    script.write_text(INTERRUPTED)
    job = cluster.submit(f"exec {sys.executable} {script}", "--requeue", "-n1", more=more)
    deadline = time.monotonic() + 60
    while "waiting" not in cluster.output():
        assert time.monotonic() < deadline, cluster.output() + cluster.logs()
        time.sleep(0.2)
    cluster.run("scontrol", "requeue", job)
    cluster.wait(job, ("PENDING",))
    cluster.run("scontrol", "update", f"JobId={job}", "StartTime=now")  # not after two minutes
    cluster.wait(job)
    (run,) = store_of(more).runs()
    assert (run.attempts, run.state, run.metrics) == (2, "COMPLETED", {"restarts": 1.0})
