import argparse
import asyncio
import dataclasses
import json
import math
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from instrument import ExperimentContext, current_run, log_metrics, log_params
from instrument.clock import SystemClock
from instrument.errors import (
    MissingDependencyError,
    NotFoundError,
    UsageError,
)
from instrument.records import Metrics
from instrument.registry import open_store
from instrument.testing import MemoryBackend
from instrument.vocabulary import RunState


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend()


def test_a_run_keeps_what_was_said(store: MemoryBackend) -> None:
    config = {"lr": 0.1, "optim": {"name": "adam"}, "api_key": "hunter2"}
    with ExperimentContext(
        config, name="baseline", project="p", tags=["a"], backend=store, capture_level=1
    ) as run:
        run.log_metrics({"loss": 0.5, "nan": math.nan}, step=0)
        run.log_metrics({"loss": torch.tensor(0.25), "acc": np.float32(0.5)}, step=1)
        run.log_params({"extra": 1})
    found = store.run(run.id)
    assert found.state is RunState.COMPLETED
    assert (found.name, found.project, found.tags) == ("baseline", "p", ("a",))
    assert found.params["lr"] == 0.1
    assert found.params["optim.name"] == "adam"
    assert found.params["extra"] == 1
    assert "hunter2" not in json.dumps(found.params)
    assert found.metrics == {"loss": 0.25, "nan": "NaN", "acc": 0.5}
    assert found.duration_seconds is not None
    assert found.duration_seconds > 0
    assert found.environment is not None
    assert store.contains(found.environment)
    assert found.recording.complete, found.recording.problems
    steps = [e.record.step for e in store.entries(run.id) if isinstance(e.record, Metrics)]
    assert steps == [0, 1]


@dataclasses.dataclass
class Config:
    lr: float = 0.5
    layers: tuple[int, ...] = (1, 2)


def test_a_value_without_a_json_form_is_refused_and_leaves_no_run(store: MemoryBackend) -> None:
    with pytest.raises(UsageError, match=r"^no JSON form for 'f' \(function\), .*leave it out$"):
        ExperimentContext({"lr": 0.1, "f": lambda: 0}, backend=store)
    assert list(store.runs()) == []
    with ExperimentContext(backend=store) as run:
        with pytest.raises(UsageError, match=r"for 'o' \(object\)"):
            run.log_params({"o": object()})
        run.log_params({"o": "named"})
    [found] = store.runs()
    assert found.params == {"o": "named"}


@pytest.mark.parametrize(
    "config",
    [Config(), argparse.Namespace(lr=0.5, layers=[1, 2]), {"lr": 0.5, "layers": (1, 2)}],
    ids=["dataclass", "argparse", "dict"],
)
def test_configurations_of_several_kinds_become_the_same_params(
    store: MemoryBackend, config: object
) -> None:
    with ExperimentContext(config, backend=store) as run:
        pass
    assert store.run(run.id).params == {"lr": 0.5, "layers": [1, 2]}


def test_the_users_exception_passes_and_is_recorded(store: MemoryBackend) -> None:
    error = ValueError("no data")
    with pytest.raises(ValueError, match="no data") as caught:  # noqa: SIM117 - the order matters
        with ExperimentContext(backend=store) as run:
            raise error
    assert caught.value is error
    found = store.run(run.id)
    assert found.state is RunState.FAILED
    assert found.exception == {"type": "builtins.ValueError", "message": "no data"}


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (KeyboardInterrupt(), RunState.INTERRUPTED),
        (SystemExit(0), RunState.COMPLETED),
        (SystemExit(3), RunState.FAILED),
        (asyncio.CancelledError(), RunState.INTERRUPTED),
    ],
)
def test_how_a_run_ends_decides_its_state(
    store: MemoryBackend, error: BaseException, state: RunState
) -> None:
    with pytest.raises(type(error)):  # noqa: SIM117 - the order matters
        with ExperimentContext(backend=store) as run:
            raise error
    assert store.run(run.id).state is state


def test_runs_nest_and_each_restores_the_one_before(store: MemoryBackend) -> None:
    with ExperimentContext(backend=store) as outer:
        assert current_run() is outer
        with ExperimentContext(backend=store) as inner:
            assert current_run() is inner
            log_metrics({"depth": 2})
        assert current_run() is outer
        log_metrics({"depth": 1})
    assert current_run() is None
    assert store.run(inner.id).parent_run_id == outer.id
    assert store.run(inner.id).metrics == {"depth": 2}
    assert store.run(outer.id).metrics == {"depth": 1}


def test_a_thread_finds_the_run_of_the_process(store: MemoryBackend) -> None:
    with ExperimentContext(backend=store) as run:
        worker = threading.Thread(target=log_metrics, args=({"from_thread": 1},))
        worker.start()
        worker.join()
    assert store.run(run.id).metrics == {"from_thread": 1.0}


def test_tasks_side_by_side_have_runs_of_their_own(store: MemoryBackend) -> None:
    async def one(number: int) -> tuple[str, int]:
        async with ExperimentContext(backend=store, name=f"task {number}") as run:
            await asyncio.sleep(0.01)
            log_metrics({"number": number})
            await asyncio.sleep(0.01)
            return run.id, number

    async def both() -> list[tuple[str, int]]:
        return list(await asyncio.gather(*(one(number) for number in range(5))))

    for run_id, number in asyncio.run(both()):
        assert store.run(run_id).metrics == {"number": number}
        assert store.run(run_id).parent_run_id is None


def test_many_threads_lose_nothing(store: MemoryBackend) -> None:
    def work(run: ExperimentContext, start: int) -> None:
        for step in range(start, start + 200):
            run.log_metrics({"x": step}, step=step)

    with ExperimentContext(backend=store) as run:
        threads = [threading.Thread(target=work, args=(run, n * 200)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    steps = [e.record.step for e in store.entries(run.id) if isinstance(e.record, Metrics)]
    assert sorted(s for s in steps if s is not None) == list(range(1600))


def test_inputs_become_parents_of_outputs_by_themselves(store: MemoryBackend) -> None:
    with ExperimentContext(backend=store) as first:
        data = first.log_artifact("data", type="dataset", data=[1, 2, 3])
    with ExperimentContext(backend=store) as second:
        rows = second.use_artifact("data:latest").load()
        assert rows == [1, 2, 3]
        model = second.log_artifact("model", type="model", data={"w": 1.5})
    assert data.ref == "data:v1"
    assert model.parents == ("data:v1",)
    assert store.run(second.id).inputs == ["data:v1"]
    assert store.run(second.id).outputs == ["model:v1"]
    assert store.run(first.id).outputs == ["data:v1"]


def test_checkpoints_are_versions_and_the_best_has_an_alias(
    store: MemoryBackend, tmp_path: Path
) -> None:
    with ExperimentContext(backend=store) as run:
        for step in range(3):
            path = tmp_path / f"{step}.txt"
            path.write_text(str(step))
            run.log_model_checkpoint(path, step=step, metrics={"loss": 1.0 - step})
        run.log_checkpoint({"w": 1}, step=3, metrics={"loss": -5}, best=True)
    versions = list(store.artifacts(f"checkpoint_model_{run.id}"))
    assert [v.version for v in versions] == [1, 2, 3, 4]
    assert versions[0].metadata["step"] == 0
    assert versions[3].aliases == ("best", "latest")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"name": "bad/name", "data": 1}, UsageError),
        ({"name": "missing", "file_path": "nowhere.bin"}, NotFoundError),
        ({"name": "child", "data": 1, "parent_artifacts": ["ghost:v1"]}, NotFoundError),
        ({"name": "strange", "data": object()}, UsageError),
    ],
)
def test_what_the_user_got_wrong_is_said_to_the_user(
    store: MemoryBackend, arguments: dict[str, object], error: type[Exception]
) -> None:
    with ExperimentContext(backend=store) as run:
        with pytest.raises(error):
            run.log_artifact(**arguments)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="'word' is a str, not a number"):
            run.log_metrics({"word": "high"})
        with pytest.raises(NotFoundError):
            run.use_artifact("ghost:latest")
    assert store.run(run.id).state is RunState.COMPLETED


def test_functions_without_a_run_say_what_to_do() -> None:
    with pytest.raises(UsageError, match="needs an open run"):
        log_params({"a": 1})


def test_a_context_is_one_run(store: MemoryBackend) -> None:
    run = ExperimentContext(backend=store)
    with run:
        pass
    with pytest.raises(UsageError, match="was started before"):
        run.start()


def test_an_unknown_backend_is_refused_at_once() -> None:
    with pytest.raises(NotFoundError, match="known are local, wandb"):
        ExperimentContext(backend=["local", "nope"])


def test_a_backend_without_its_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="instrument-ml"):
        ExperimentContext(backend=["local", "wandb"])


def test_a_seed_is_set_where_asked_and_state_is_untouched_where_not(store: MemoryBackend) -> None:
    random.seed(7)
    before = random.getstate()
    with ExperimentContext(backend=store):
        pass
    assert random.getstate() == before
    with ExperimentContext(backend=store, seed=3) as run:
        first = (random.random(), float(np.random.rand()), float(torch.rand(1)))  # noqa: NPY002
    with ExperimentContext(backend=store, seed=3):
        second = (random.random(), float(np.random.rand()), float(torch.rand(1)))  # noqa: NPY002
    assert first == second
    seeds = store.run(run.id).seeds
    assert seeds is not None
    assert seeds["seed"] == 3
    assert set(seeds["set_in"]) >= {"random", "numpy", "torch"}


def test_a_library_that_came_after_the_seed_is_told(
    store: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    with ExperimentContext(backend=store, seed=3) as run:
        monkeypatch.setitem(sys.modules, "torch", torch)
    problems = store.run(run.id).recording.problems
    assert any("seed torch" in problem for problem in problems)


def test_signal_handlers_and_environment_come_back(store: MemoryBackend) -> None:
    import os

    before = signal.getsignal(signal.SIGTERM)
    environment = dict(os.environ)
    with ExperimentContext(backend=store):
        pass
    assert signal.getsignal(signal.SIGTERM) is before
    assert dict(os.environ) == environment


def test_a_failing_store_never_reaches_the_user(
    store: MemoryBackend, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(data: bytes) -> str:
        raise OSError(28, "No space left on device")

    with ExperimentContext(backend=store) as run:
        monkeypatch.setattr(store, "put_bytes", full)
        monkeypatch.setattr(store, "put_file", full)
        version = run.log_artifact("report", data={"a": 1})
        run.log_metrics({"loss": 1.0})
    assert version.version is None
    assert version.ref == "report:unrecorded"
    found = store.run(run.id)
    assert found.state is RunState.COMPLETED
    assert found.metrics == {"loss": 1.0}
    assert any("No space left" in problem for problem in found.recording.problems)
    assert not found.recording.complete
    assert "your run goes on" in capsys.readouterr().err


def test_strict_raises_what_recording_could_not_do(
    store: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(data: bytes) -> str:
        raise OSError(28, "No space left on device")

    with (  # noqa: PT012 - the block is the run
        pytest.raises(OSError, match="No space left"),
        ExperimentContext(backend=store, strict=True, capture_level=1) as run,
    ):
        monkeypatch.setattr(store, "put_bytes", full)
        monkeypatch.setattr(store, "put_file", full)
        run.log_artifact("report", data={"a": 1})


def test_logging_after_the_end_is_said_not_raised(
    store: MemoryBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExperimentContext(backend=store) as run:
        pass
    run.log_metrics({"late": 1.0})
    assert "late" not in store.run(run.id).metrics
    assert "has ended" in capsys.readouterr().err


def test_a_run_continues_as_a_new_attempt(store: MemoryBackend) -> None:
    first = ExperimentContext(backend=store, run_id="job-4711").start()
    first.log_metrics({"loss": 1.0}, step=0)
    first.finish(error=RuntimeError("preempted"))
    with ExperimentContext(backend=store, run_id="job-4711") as second:
        second.log_metrics({"loss": 0.5}, step=1)
    found = store.run("job-4711")
    assert (first.id, second.id) == ("job-4711", "job-4711")
    assert found.attempts == 2
    assert found.state is RunState.COMPLETED
    assert found.metrics == {"loss": 0.5}
    assert found.exception is None


def test_disabled_sets_the_seed_and_records_nothing(
    store: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSTRUMENT_MODE", "disabled")
    values = []
    for _ in range(2):
        with ExperimentContext(backend=store, seed=3) as run:
            run.log_metrics({"loss": 1.0})
            assert run.log_artifact("report", data={"a": 1}).version is None
            values.append(random.random())
    assert values[0] == values[1]
    assert store.runs() == []


KILLED = """
import os, signal, sys, time
from instrument import ExperimentContext
with ExperimentContext(name="victim", capture_level=1):
    time.sleep(2.5)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_sampled_is_there_and_who_died_is_named(store_path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED], check=False).returncode == -9
    run = open_store("local", store_path, SystemClock()).run("latest")
    assert run.state is RunState.INTERRUPTED
    assert run.telemetry["samples"] >= 1
    assert run.telemetry["readings"]
    assert any("ended without closing the run" in problem for problem in run.recording.problems)


WORKER = """
import multiprocessing
from instrument import ExperimentContext, log_metrics

def work(number):
    log_metrics({"worker": number})

if __name__ == "__main__":
    with ExperimentContext(name="pool", capture_level=1):
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            pool.map(work, range(4))
"""


def test_a_terminated_pool_of_workers_leaves_a_complete_run(
    store_path: Path, tmp_path: Path
) -> None:
    script = tmp_path / "pool.py"
    script.write_text(WORKER)
    subprocess.run([sys.executable, str(script)], check=True)
    opened = open_store("local", store_path, SystemClock())
    [run] = opened.runs()
    logged = [e.record.values for e in opened.entries(run.id) if isinstance(e.record, Metrics)]
    assert sorted(values["worker"] for values in logged) == [0.0, 1.0, 2.0, 3.0]
    assert run.recording.complete, run.recording.problems
