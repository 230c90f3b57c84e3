"""Loads by torch: weights, models and data, told apart, and never touched."""

import io
import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint
import torch.hub
from intercept.loading import digest, digest_of_tree, loads_of

from instrument import ExperimentContext
from instrument.intercept import loads
from instrument.intercept.libraries import LIBRARIES
from instrument.testing import InterceptorContract


def saved(value: Any, path: Path) -> Path:
    torch.save(value, path)
    return path


def module() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))


class TestContract(InterceptorContract):
    library = next(library for library in LIBRARIES if library.name == "torch")

    def calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        state = saved(module().state_dict(), path / "state.pt")
        data = saved({"x": torch.arange(3), "names": ["a", "b"]}, path / "data.pt")
        return {
            "state": lambda: torch.load(state),
            "mmap": lambda: torch.load(str(state), mmap=True),
            "file": lambda: _from_file(state),
            "memory": lambda: torch.load(io.BytesIO(data.read_bytes())),
            "keyword": lambda: torch.load(f=data, weights_only=True),
        }

    def failing_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        (path / "text.pt").write_text("this is no checkpoint")
        return {
            "missing": lambda: torch.load(path / "nothing.pt"),
            "text": lambda: torch.load(path / "text.pt"),
            "no argument": lambda: _any(torch).load(),
            "unsafe": lambda: torch.load(_unsafe(path), weights_only=True),
        }

    def same(self, one: Any, other: Any) -> bool:
        return repr(one) == repr(other)


def _any(value: Any) -> Any:
    """Not to be checked."""
    return value


def _from_file(path: Path) -> Any:
    with path.open("rb") as file:
        return torch.load(file)


class RanError(Exception):
    """Raised by the pickle."""


def run_me(message: str) -> None:
    raise RanError(message)


class _Evil:
    def __reduce__(self) -> Any:
        return run_me, ("code ran",)


def _unsafe(path: Path) -> Path:
    file = path / "evil.pt"
    if not file.exists():
        torch.save({"x": _Evil()}, file)
    return file


def test_a_state_dict_is_weights(tmp_path: Path) -> None:
    path = saved(module().state_dict(), tmp_path / "state.pt")
    found = loads_of(lambda: torch.load(path))
    (weights,) = found.loaded
    assert (weights.what, weights.loader) == ("weights", "torch.load")
    assert weights.facts == {
        "tensors": 4,
        "parameters": 4 * 3 + 3 + 3 * 2 + 2,
        "dtypes": ["float32"],
    }
    assert found.of(weights).digest == digest(path)
    assert not found.read


@pytest.mark.parametrize(
    "value",
    [
        {"model": {"0.weight": torch.zeros(2)}, "epoch": 3},
        {"state_dict": {"weight": torch.zeros(2)}, "optimizer": {"lr": 0.1}},
        {"weight": torch.zeros(2), "bias": torch.zeros(2)},
    ],
)
def test_a_checkpoint_with_weights_in_it_is_weights(value: Any, tmp_path: Path) -> None:
    path = saved(value, tmp_path / "checkpoint.pt")
    assert [load.what for load in loads_of(lambda: torch.load(path)).loaded] == ["weights"]


@pytest.mark.parametrize(
    "value",
    [
        torch.arange(10),
        [torch.zeros(2), torch.ones(2)],
        {"images": torch.zeros(4, 3), "labels": torch.zeros(4)},
        {"x": 1, "y": [1, 2]},
        {},
        (1, "two"),
    ],
)
def test_data_is_an_input_and_no_model(value: Any, tmp_path: Path) -> None:
    path = saved(value, tmp_path / "data.pt")
    found = loads_of(lambda: torch.load(path))
    assert not found.loaded
    (read,) = found.read
    assert (read.reader, read.requested) == ("torch.load", str(path))
    assert found.of(read).digest == digest(path)
    assert read.rows == (len(value) if not isinstance(value, dict) else None)


def test_data_stands_in_the_summary_apart_from_models(tmp_path: Path) -> None:
    from instrument import ExperimentContext

    path = saved(torch.arange(10), tmp_path / "data.pt")
    with ExperimentContext(monitor_hardware=False) as run:
        torch.load(path)
    assert run.store is not None
    summary = run.store.run(run.id)
    assert not summary.models
    assert summary.data is not None
    (data,) = summary.data
    assert (data["digest"], data["rows"]) == (digest(path), 10)


def test_a_whole_module_is_a_model(tmp_path: Path) -> None:
    path = saved(module(), tmp_path / "module.pt")
    found = loads_of(lambda: torch.load(path, weights_only=False))
    (model,) = found.loaded
    assert (model.what, model.facts["class_name"]) == ("model", "Sequential")


def test_a_script_is_a_model_and_one_record(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.script(torch.nn.Linear(4, 3)), str(path))

    def load() -> None:
        with pytest.warns(DeprecationWarning, match="torch.jit"):
            torch.jit.load(str(path))

    found = loads_of(load)
    (model,) = found.loaded
    assert (model.what, model.loader) == ("model", "torch.jit.load")
    assert model.facts["class_name"] == "Linear"
    assert model.facts["parameters"] == 15
    assert found.of(model).digest == digest(path)


def test_a_distributed_checkpoint_is_one_load_of_its_files(tmp_path: Path) -> None:
    dcp: Any = torch.distributed.checkpoint

    with pytest.warns(UserWarning, match="single process"):
        dcp.save(module().state_dict(), checkpoint_id=tmp_path / "dcp")
    state = {name: torch.zeros_like(value) for name, value in module().state_dict().items()}

    def load() -> None:
        with pytest.warns(UserWarning, match="single process"):
            dcp.load(state, checkpoint_id=tmp_path / "dcp")

    found = loads_of(load)
    (weights,) = found.loaded
    names = [file.name for file in (tmp_path / "dcp").iterdir()]
    assert ".metadata" in names
    assert weights.requested == str(tmp_path / "dcp")
    assert found.of(weights).digest == digest_of_tree(tmp_path / "dcp", *names)
    assert all(torch.equal(state[name], value) for name, value in module().state_dict().items())


def test_an_entry_point_of_a_hub_directory_is_one_load(tmp_path: Path) -> None:
    path = saved(module().state_dict(), tmp_path / "weights.pt")
    (tmp_path / "hubconf.py").write_text(
        "import torch\n"
        "def tiny():\n"
        "    made = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))\n"
        f"    made.load_state_dict(torch.load({str(path)!r}))\n"
        "    return made\n"
    )
    found = loads_of(lambda: torch.hub.load(str(tmp_path), "tiny", source="local"))
    (model,) = found.loaded
    assert (model.what, model.loader, model.facts["entry"]) == ("model", "torch.hub.load", "tiny")
    assert found.files(model) == {"weights.pt": digest(path)}


def test_what_is_loaded_from_memory_has_no_digest_and_says_why(tmp_path: Path) -> None:
    path = saved(module().state_dict(), tmp_path / "state.pt")
    found = loads_of(lambda: torch.load(io.BytesIO(path.read_bytes())))
    (weights,) = found.loaded
    assert weights.requested is None
    assert found.of(weights).digest is None
    assert "BytesIO" in (found.of(weights).reason or "")


def test_an_open_file_is_known_by_its_path(tmp_path: Path) -> None:
    path = saved(module().state_dict(), tmp_path / "state.pt")
    found = loads_of(lambda: _from_file(path))
    assert found.of(found.loaded[0]).digest == digest(path)


def test_t26_a_pickle_that_runs_code_does_as_without_us_and_we_never_run_it(
    tmp_path: Path,
) -> None:
    path = _unsafe(tmp_path)

    def load() -> None:
        with pytest.raises(RanError, match="code ran"):
            torch.load(path, weights_only=False)

    found = loads_of(load)
    (weights,) = found.loaded
    assert weights.error == "RanError: code ran"
    assert found.of(weights).digest == digest(path)  # hashed, and run by nobody but torch


def test_t27_a_refused_pickle_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _unsafe(tmp_path)
    tried: list[Any] = []
    load = _any(torch.serialization)._legacy_load  # a file that is no zip comes by here once

    def count(*args: Any, **kwargs: Any) -> Any:
        tried.append(args)
        return load(*args, **kwargs)

    monkeypatch.setattr(torch.serialization, "_legacy_load", count)
    legacy = tmp_path / "legacy.pt"
    torch.save({"x": _Evil()}, legacy, _use_new_zipfile_serialization=False)

    def refused() -> None:
        for file in (path, legacy):
            with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
                torch.load(file, weights_only=True)

    found = loads_of(refused)
    assert len(tried) == 1
    assert [bool(load.error) for load in found.loaded] == [True, True]


def test_a_missing_file_raises_what_torch_raises_and_leaves_no_model(tmp_path: Path) -> None:
    from instrument import ExperimentContext

    with ExperimentContext(monitor_hardware=False) as run, pytest.raises(FileNotFoundError) as info:
        torch.load(tmp_path / "nothing.pt")
    assert info.value.filename == str(tmp_path / "nothing.pt")
    assert run.store is not None
    assert not run.store.run(run.id).models
    assert run.store.run(run.id).recording.complete


def test_examples_of_a_data_set_are_told_up_to_a_number_and_counted(tmp_path: Path) -> None:
    from instrument.intercept.repeats import MAX_TOLD

    paths = [saved(torch.tensor(n), tmp_path / f"{n}.pt") for n in range(MAX_TOLD + 7)]

    def load() -> None:
        for _ in range(3):
            for path in paths:
                torch.load(path)

    found = loads_of(load)
    assert len(found.read) == MAX_TOLD
    (counted,) = found.counted
    assert (counted.loader, counted.left_out, counted.files) == ("torch.load", 7, 7)
    assert counted.repeated == 2 * (MAX_TOLD + 7)


def test_a_file_that_has_changed_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"

    def load() -> None:
        for scale in (1, 2):
            saved({"weight": torch.full((3,), float(scale))}, path)
            os.utime(path, ns=(scale * 10**9, scale * 10**9))
            for _ in range(3):
                torch.load(path)

    found = loads_of(load)
    assert len(found.loaded) == 2
    assert found.of(found.loaded[1]).digest == digest(path)


def test_a_failure_beside_the_load_is_raised_at_the_end_of_a_strict_run_and_hashing_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(torch.ones(2), tmp_path / "x.pt")
    with monkeypatch.context() as patched:
        patched.setattr(loads, "tell_inputs", lambda *_: 1 / 0)
        with (
            pytest.raises(ZeroDivisionError),
            ExperimentContext(name="strict", strict=True, monitor_hardware=False),
        ):
            torch.load(tmp_path / "x.pt")
    found = loads_of(lambda: torch.load(tmp_path / "x.pt"))
    assert found.of(found.read[0]).digest == digest(tmp_path / "x.pt")
