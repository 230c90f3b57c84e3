"""What users give is taken or refused at the call; what is taken can be read again."""

import contextlib
import json
import math
import warnings
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st

import instrument
from instrument import ExperimentContext
from instrument.clock import SystemClock
from instrument.errors import NotFoundError, UsageError
from instrument.records import Metrics, Problem
from instrument.registry import open_store
from instrument.testing import MemoryBackend
from instrument.vocabulary import RunState

QUIET: dict[str, Any] = {"monitor_hardware": False, "capture_level": 1}


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend()


@pytest.mark.parametrize("step", ["x", 2.5, True, [1], -1, 10**30, 2**63, np.float32(1), {}, b"1"])
def test_a_step_that_is_none_is_refused(store: MemoryBackend, step: Any) -> None:
    with ExperimentContext(backend=store, **QUIET) as run:
        with pytest.raises(UsageError, match="is no step; use an integer from 0"):
            run.log_metrics({"loss": 0.1}, step=step)
        with pytest.raises(UsageError, match="is no step"):
            run.log_checkpoint({"w": 1}, step=step)
    assert store.run(run.id).metrics == {}


@pytest.mark.parametrize(
    "step", [3, np.int64(3), np.uint8(3), torch.tensor(3), np.array(3)], ids=repr
)
def test_integers_of_all_kinds_are_steps(store: MemoryBackend, step: Any) -> None:
    with ExperimentContext(backend=store, **QUIET) as run:
        run.log_metrics({"loss": 0.1}, step=step)
    (record,) = [e.record for e in store.entries(run.id) if isinstance(e.record, Metrics)]
    assert type(record.step) is int
    assert record.step == 3


@pytest.mark.parametrize("name", ["", "\ud800", "x" * 251, 5, None, b"loss", ("a",)])
def test_a_metric_needs_a_name(store: MemoryBackend, name: Any) -> None:
    with (
        ExperimentContext(backend=store, **QUIET) as run,
        pytest.raises(UsageError, match="cannot name a metric"),
    ):
        run.log_metrics({name: 0.1})


@pytest.mark.parametrize(
    "value", ["0.1", b"1", None, [1.0], 1j, np.array([1.0, 2.0]), torch.zeros(2), object(), 10**400]
)
def test_a_metric_is_a_number(store: MemoryBackend, value: Any) -> None:
    with (
        ExperimentContext(backend=store, **QUIET) as run,
        pytest.raises(
            UsageError, match=r"metric 'loss' is (an? .*, not a number|larger than any float)"
        ),
    ):
        run.log_metrics({"loss": value})


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (np.float32(0.9), 0.9),
        (np.float16(0.1), 0.1),
        (torch.tensor(0.9), 0.9),
        (torch.tensor(0.9, requires_grad=True), 0.9),
        (torch.tensor([0.3]), 0.3),
        (np.float64(0.1) + np.float64(0.2), 0.1 + 0.2),
        (np.float32(3.4028235e38), 3.4028235e38),
        (np.float32("nan"), "NaN"),
        (torch.tensor(float("inf")), "Infinity"),
        (np.int64(7), 7.0),
        (True, 1.0),
    ],
)
def test_a_short_float_is_kept_as_the_decimal_that_people_see(
    store: MemoryBackend, value: Any, kept: float | str
) -> None:
    with ExperimentContext(backend=store, **QUIET) as run, warnings.catch_warnings():
        warnings.simplefilter("error")
        run.log_metrics({"acc": value})
    assert store.run(run.id).metrics == {"acc": kept}


def test_parameters_are_kept_so_too(store: MemoryBackend) -> None:
    rates = np.array([0.1, 0.2], dtype=np.float32)
    with ExperimentContext(
        {"lr": np.float32(0.1), "rates": rates, "t": torch.tensor(0.3)}, backend=store, **QUIET
    ) as run:
        pass
    assert store.run(run.id).params == {"lr": 0.1, "rates": [0.1, 0.2], "t": 0.3}


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_decimal_is_the_same_float32(value: float) -> None:
    from instrument.given import number

    kept = number("x", np.float32(value))
    assert np.float32(kept) == np.float32(value)
    assert repr(float(kept)) == repr(float(str(np.float32(value))))


OPTIONS = [
    ("name", ""), ("name", 5), ("name", "\ud800"), ("project", 5), ("tags", 5), ("tags", [5]),
    ("tags", {"a": 1}), ("backend", 5), ("backend", [5]), ("store", 5), ("store", ""),
    ("offline", "no"), ("offline", 1), ("strict", "yes"), ("capture_level", "2"),
    ("capture_level", True), ("run_id", 5), ("run_id", "\ud800abcd"), ("seed", "x"), ("seed", -1),
    ("monitor_hardware", "no"), ("config", 5), ("name", "x" * 251), ("project", "x" * 251),
    ("project", ""),
]  # fmt: skip


@pytest.mark.parametrize(("option", "value"), OPTIONS, ids=lambda value: ascii(value)[:20])
def test_an_option_of_another_kind_is_a_usage_error_in_one_line(option: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        ExperimentContext(**{option: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["environment", "file"])
def test_a_project_is_as_short_wherever_it_comes_from(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    for length in (250, 251):
        if where == "environment":
            monkeypatch.setenv("INSTRUMENT_PROJECT", "x" * length)
        else:
            Path("pyproject.toml").write_text(f"[tool.instrument]\nproject = '{'x' * length}'\n")
        if length == 250:
            ExperimentContext()
    with pytest.raises(UsageError, match="has 251 characters; use 250 at most"):
        ExperimentContext()


@pytest.mark.parametrize("call", [("loss", 0.5), ("loss", 3), ("loss",)])
def test_a_metric_given_as_name_and_number_is_told_how_to_be_given(
    store: MemoryBackend, call: tuple[Any, ...]
) -> None:
    with (
        ExperimentContext(backend=store, **QUIET) as run,
        pytest.raises(UsageError, match=r"use log_metrics\(\{'loss': 0.5\}, step=0\)"),
    ):
        run.log_metrics(*call)


def test_what_is_no_number_is_told_with_its_article(store: MemoryBackend) -> None:
    with ExperimentContext(backend=store, **QUIET) as run:
        with pytest.raises(UsageError, match="'x' is an object, not a number"):
            run.log_metrics({"x": object()})
        with pytest.raises(UsageError, match="'x' is larger than any float"):
            run.log_metrics({"x": 10**400})


CALLS: list[Callable[[ExperimentContext], object]] = [
    lambda run: run.log_metrics("loss", 0.1),  # type: ignore[arg-type]
    lambda run: run.log_metrics(5),  # type: ignore[arg-type]
    lambda run: run.log_params(5),
    lambda run: run.use_artifact(5),  # type: ignore[arg-type]
    lambda run: run.log_artifact(5, data=1),  # type: ignore[arg-type]
    lambda run: run.log_artifact("a", data=1, type=5),  # type: ignore[arg-type]
    lambda run: run.log_artifact("a", data=1, metadata=5),  # type: ignore[arg-type]
    lambda run: run.log_artifact("a", data=1, metadata={"x": object()}),
    lambda run: run.log_artifact("a", data=1, parent_artifacts=5),  # type: ignore[arg-type]
    lambda run: run.log_artifact("a", data=1, parent_artifacts=[5]),  # type: ignore[list-item]
    lambda run: run.log_artifact("a", file_path=5),  # type: ignore[arg-type]
    lambda run: run.log_checkpoint({"w": 1}, metrics=5),  # type: ignore[arg-type]
    lambda run: run.finish("DONE"),
    lambda run: run.finish(5),  # type: ignore[arg-type]
    lambda run: run.finish("RUNNING"),
    lambda run: run.finish(exit_code="1"),  # type: ignore[arg-type]
    lambda run: run.finish(exit_code=10**30),
]


@pytest.mark.parametrize("call", CALLS)
def test_a_call_with_another_kind_is_a_usage_error_in_one_line(
    store: MemoryBackend, call: Callable[[ExperimentContext], object]
) -> None:
    with ExperimentContext(backend=store, **QUIET) as run:
        with pytest.raises(UsageError) as caught:
            call(run)
        assert "\n" not in str(caught.value)
        assert run.state is RunState.RUNNING
    assert not [e for e in store.entries(run.id) if isinstance(e.record, Problem)]
    assert store.run(run.id).state is RunState.COMPLETED


def test_a_single_text_is_a_list_of_one_everywhere(store: MemoryBackend) -> None:
    @instrument.track_artifacts(inputs="first", outputs="third")
    def third() -> dict[str, int]:
        return {"n": 3}

    with ExperimentContext(backend=store, tags="abc", **QUIET) as run:
        first = run.log_artifact("first", data={"n": 1})
        second = run.log_artifact("second", data={"n": 2}, parent_artifacts="first")
        third()
    assert store.run(run.id).tags == ("abc",)
    assert second.parents == (first.ref,)
    assert "third:v1" in store.run(run.id).outputs


def test_handles_and_versions_are_references(store: MemoryBackend) -> None:
    with ExperimentContext(backend=store, **QUIET) as run:
        version = run.log_artifact("first", data={"n": 1})
        handle = run.use_artifact(version)
        assert run.use_artifact(handle).ref == "first:v1"
        made = run.log_artifact("second", data={"n": 2}, parent_artifacts=[handle, version])
        one = run.log_artifact("third", data={"n": 3}, parent_artifacts=handle)
        instrument.log_artifact("fourth", data={1, 2}.__class__, pickle=True)
    assert made.parents == one.parents == ("first:v1",)
    assert store.run(run.id).inputs == ["first:v1"]
    assert "fourth:v1" in store.run(run.id).outputs


def test_offline_false_overrides_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTRUMENT_MODE", "offline")
    assert ExperimentContext()._settings.mode == "offline"
    assert ExperimentContext(offline=False)._settings.mode == "online"
    monkeypatch.setenv("INSTRUMENT_MODE", "disabled")
    assert ExperimentContext(offline=True)._settings.mode == "disabled"


HOSTILE = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.binary(),
        st.sampled_from(["\ud800", "a\x00b", "x" * 5000, 10**30, -(2**63), 2**64, math.nan]),
        st.sampled_from([np.int64(3), np.float32(0.9), np.array([1, 2]), torch.tensor(3)]),
        st.builds(object), st.just(object),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner,
                                                               max_size=3),
    max_leaves=5,
)  # fmt: skip


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_given_the_store_is_whole_and_the_run_sealed(
    store_path: Path, data: st.DataObject
) -> None:
    a: list[Any] = [data.draw(HOSTILE, f"argument {number}") for number in range(4)]
    name: Any = a[0] if isinstance(a[0], Hashable) else 5  # else Python itself refuses it
    options = data.draw(st.dictionaries(st.sampled_from([o for o, _ in OPTIONS]), HOSTILE,
                                        max_size=1))  # fmt: skip
    options = {k: v for k, v in options.items() if k not in {"store", "backend"}}
    try:
        run = ExperimentContext(**{**QUIET, **options})
    except (UsageError, NotFoundError):
        run = ExperimentContext(**QUIET)
    with run:
        for call in (
            lambda: run.log_metrics({name: a[1]}, step=a[2]),
            lambda: run.log_metrics({"loss": a[1]}, step=a[2]),
            lambda: run.log_metrics({"loss": 0.1}, a[3]),
            lambda: run.log_metrics(a[3]),
            lambda: run.log_params({"x": a[0]}),
            lambda: run.log_params(a[1]),
            lambda: run.log_artifact("a", data=a[0], metadata={"m": a[1]}),
            lambda: run.log_artifact("a", "other", a[0], a[1], a[2], a[3], pickle=False),
            lambda: run.log_artifact(a[0], a[1], data=1),
            lambda: run.log_checkpoint({"w": 1}, step=a[1], metrics=a[2]),
            lambda: run.log_checkpoint({"w": 1}, metrics={"loss": a[2]}, kind=a[3]),
            lambda: run.use_artifact(a[0]),
        ):
            with contextlib.suppress(UsageError, NotFoundError):
                call()
    store = open_store("local", store_path, SystemClock())
    found = store.run(run.id)
    assert not found.recording.problems
    assert store.verify(run.id).ok
    json.dumps(found.params)
    assert list(store_path.glob(f"runs/*/{run.id}/run.json"))


def test_the_reason_for_lost_records_is_the_real_one(
    store_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with ExperimentContext(**QUIET) as run:
        run.record(Metrics(values={"loss": object()}, step=0))  # type: ignore[dict-item]
        run.log_metrics({"loss": 0.5})
    err = capfd.readouterr().err
    assert f"1 records of run {run.id} were lost" in err
    assert "the record has no JSON form" in err
    assert "could not take them" not in err
    store = open_store("local", store_path, SystemClock())
    assert list(store_path.glob(f"runs/*/{run.id}/run.json")), "it is sealed all the same"
    assert store.run(run.id).metrics == {"loss": 0.5}
    assert store.verify().ok


def test_integers_of_many_bits_are_kept_as_texts_and_lose_nothing(store_path: Path) -> None:
    @instrument.reproducible
    def call(number: int, numbers: list[int]) -> int:
        return number + numbers[0]

    with ExperimentContext({"seed": 2**64, "inner": [10**30]}, **QUIET) as run:
        run.log_artifact("a", data=1, metadata={"big": 10**30})
        call(10**30, [10**40])
    store = open_store("local", store_path, SystemClock())
    found = store.run(run.id)
    assert found.params["seed"] == str(2**64)
    assert found.params["inner"] == [str(10**30)]
    assert found.recording.complete, found.recording.problems
    (version,) = store.artifacts("a")
    assert version.metadata == {"big": str(10**30)}


def test_what_is_said_of_content_that_is_there_already_is_not_dropped_in_silence(
    store: MemoryBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExperimentContext(backend=store, **QUIET) as run:
        run.log_artifact("a", data=1, type="dataset")
        run.log_artifact("a", data=1, type="dataset")
        assert "already" not in capsys.readouterr().err
        run.log_artifact("a", data=1, type="model", metadata={"source": "x"})
    told = capsys.readouterr().err
    assert "a:v1 had this content already, with type 'dataset'" in told
    assert "the type 'model' and metadata given now is not kept" in told


def test_of_two_dicts_of_numbers_the_one_with_the_metric_is_the_metrics() -> None:
    from instrument.decorators.states import find

    for pair in (({"w": 1}, {"loss": 2}), ({"loss": 2}, {"w": 1})):
        assert find(pair, "loss") == ({"w": 1}, {"loss": 2.0}, None)
