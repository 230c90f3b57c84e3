"""Inputs before the call, outputs after it, and the one made from the other."""

from collections.abc import Generator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from decorators.log import Log

from instrument import ExperimentContext, reproducible, track_artifacts
from instrument.decorators.tracking import guess_type
from instrument.errors import NotFoundError
from instrument.naming import parse_reference
from instrument.records import ArtifactUsed, CallFinished, Problem
from instrument.vocabulary import RunState


@pytest.fixture
def dataset(log: Log) -> str:
    """An artifact to read."""
    with ExperimentContext(name="prepare", monitor_hardware=False) as run:
        return run.log_artifact("digits", type="dataset", data=np.arange(9)).ref


def _version(log: Log, reference: str) -> Any:
    return log.store.resolve(parse_reference(reference))


def test_outputs_have_the_inputs_as_parents(dataset: str, log: Log) -> None:
    @track_artifacts(inputs=[dataset], outputs=["model", "metrics"])
    def train() -> Any:
        return torch.nn.Linear(2, 1), {"accuracy": 0.9}

    module, metrics = train()
    assert isinstance(module, torch.nn.Linear)
    assert metrics == {"accuracy": 0.9}
    run = log.runs()[-1]
    assert (run.inputs, run.outputs) == ([dataset], ["model:v1", "metrics:v1"])
    assert _version(log, "model:v1").parents == (dataset,)
    assert (_version(log, "model:v1").type, _version(log, "metrics").type) == ("model", "metrics")


def test_the_alias_is_recorded_as_the_version_it_meant(dataset: str, log: Log) -> None:
    track_artifacts(inputs=["digits"])(lambda: None)()
    (used,) = log.of(ArtifactUsed)
    assert (used.ref, used.requested) == (dataset, "digits")


@pytest.mark.parametrize("inside", [True, False])
def test_a_missing_input_is_told_before_the_function_runs(inside: bool, log: Log) -> None:
    ran = []
    work: Any = track_artifacts(inputs=["nothing:v1"])(lambda: ran.append(1))
    around: Any = ExperimentContext(monitor_hardware=False) if inside else nullcontext()
    with pytest.raises(NotFoundError, match="nothing"), around:
        work()
    assert ran == []
    assert log.run().state is RunState.FAILED
    assert [call.outcome for call in log.of(CallFinished)] == ["raised"]


@pytest.mark.parametrize(
    ("outputs", "value", "logged"),
    [
        (["one"], (1, 2), ["one:v1"]),
        (["a", "b"], (1, 2), ["a:v1", "b:v1"]),
        (["a", "b"], [1, 2], ["a:v1", "b:v1"]),
        (["a", "b"], {"b": 1, "a": 2, "c": 3}, ["a:v1", "b:v1"]),
    ],
)
def test_names_and_parts(outputs: list[str], value: Any, logged: list[str], log: Log) -> None:
    assert track_artifacts(outputs=outputs)(lambda: value)() is value
    assert log.run().outputs == logged
    assert log.of(Problem) == []


@pytest.mark.parametrize(
    ("outputs", "value", "logged", "message"),
    [
        (["a", "b"], (1, 2, 3), [], "returned a tuple of 3; return 2 values or a dict by name"),
        (["a", "b"], 1, [], "returned a int; return 2 values"),
        (["a", "b"], (1, None), ["a:v1"], "returned None for it"),
        (["a", "b"], {"a": 1}, ["a:v1"], "returned a dict without it"),
        (["a", "b"], {"a": 1, "b": None}, ["a:v1"], "returned None for it"),
        (["a"], None, [], "returned None for it"),
        (["a", "b"], (object(), 1), ["b:v1"], "object"),
    ],
)
def test_a_mismatch_is_a_problem_and_never_an_exception(
    outputs: list[str],
    value: Any,
    logged: list[str],
    message: str,
    log: Log,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert track_artifacts(outputs=outputs)(lambda: value)() is value
    run = log.run()
    assert run.state is RunState.COMPLETED
    assert run.outputs == logged
    (problem,) = log.of(Problem)
    assert message in problem.message
    assert message in capfd.readouterr().err
    assert not run.recording.complete


def test_a_strict_run_raises(monkeypatch: pytest.MonkeyPatch, log: Log) -> None:
    monkeypatch.setenv("INSTRUMENT_STRICT", "1")
    with pytest.raises(ValueError, match="returned None"):
        track_artifacts(outputs=["a"])(lambda: None)()
    assert log.run().state is RunState.FAILED


def test_nothing_is_logged_when_the_function_raises(log: Log) -> None:
    @track_artifacts(outputs=["a"])
    def fails() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        fails()
    assert log.run().outputs == []
    assert log.of(Problem) == []


def test_what_a_generator_returns_is_its_output(dataset: str, log: Log) -> None:
    @track_artifacts(inputs=[dataset], outputs=["report"])
    def work() -> Generator[int, None, dict[str, int]]:
        yield 1
        return {"seen": 1}

    assert list(work()) == [1]
    assert _version(log, "report:v1").parents == (dataset,)


def test_an_async_generator_has_no_outputs() -> None:
    async def work() -> Any:
        yield 1

    with pytest.raises(ValueError, match="is an async generator, which returns nothing"):
        track_artifacts(outputs=["report"])(work)


def test_a_path_is_logged_as_the_file_it_names(tmp_path: Path, log: Log) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"\0\1")
    track_artifacts(outputs=["model"])(lambda: file)()
    version = _version(log, "model:v1")
    assert (version.type, version.size_bytes) == ("model", 2)


def test_stacked_with_reproducible_it_is_one_call_in_one_run(dataset: str, log: Log) -> None:
    @reproducible(name="both", seed=1)
    @track_artifacts(inputs=[dataset], outputs=["model"])
    def train() -> Any:
        return {"w": torch.rand(3)}

    weights = train()["w"]
    assert torch.equal(train()["w"], weights)
    runs = log.runs()[1:]
    assert [(run.name, run.outputs) for run in runs] == [("both", ["model:v1"])] * 2
    assert len(log.of(CallFinished)) == 2


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("net", torch.nn.Linear(1, 1), "model"),
        ("net", {"w": torch.zeros(2), "b": torch.zeros(())}, "model"),
        ("train_metrics", {"loss": torch.tensor(0.5)}, "metrics"),
        ("table", pd.DataFrame({"a": [1]}), "dataset"),
        ("eval-report", {"accuracy": 1}, "evaluation"),
        ("model", Path("weights.bin"), "model"),
        ("my_dataset", [1], "dataset"),
        ("anything", {}, "other"),
    ],
)
def test_types_are_told_from_the_value_else_the_name(name: str, value: Any, kind: str) -> None:
    assert guess_type(name, value) == kind
