"""Weights that accelerate puts into a model."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from intercept.loading import digest, digest_of_tree, loads_of
from safetensors.torch import save_file

from instrument.intercept.libraries import LIBRARIES
from instrument.testing import InterceptorContract

accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed: not tested")


def _save(root: Path) -> Path:
    root.mkdir(exist_ok=True)
    save_file(torch.nn.Linear(3, 2).state_dict(), root / "model.safetensors")
    return root


def _filled(root: Path) -> Any:
    model = torch.nn.Linear(3, 2)
    accelerate.load_checkpoint_in_model(model, str(root))
    return model


class TestContract(InterceptorContract):
    library = next(library for library in LIBRARIES if library.name == "accelerate")

    def calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        root = _save(path / "saved")
        return {
            "in_model": lambda: _filled(root),
            "dispatch": lambda: accelerate.load_checkpoint_and_dispatch(
                model=torch.nn.Linear(3, 2), checkpoint=str(root)
            ),
        }

    def concurrent_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return {"in_model": self.calls(path)["in_model"]}

    def failing_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return {"nothing there": lambda: _filled(path / "nothing")}

    def same(self, one: Any, other: Any) -> bool:
        return torch.equal(one.weight, other.weight)


def test_a_checkpoint_is_told_once_with_the_class_it_went_into(tmp_path: Path) -> None:
    root = _save(tmp_path / "saved")
    found = loads_of(lambda: _filled(root))
    [load] = found.loaded
    assert (load.what, load.loader) == ("weights", "accelerate.load_checkpoint_in_model")
    assert (load.requested, load.facts["class_name"]) == (str(root), "Linear")
    assert found.of(load).digest == digest(root / "model.safetensors")


def test_the_state_of_a_training_is_one_load(tmp_path: Path) -> None:
    accelerator = accelerate.Accelerator(cpu=True)
    model = torch.nn.Linear(3, 2)
    model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters()))
    root = tmp_path / "state"
    accelerator.save_state(str(root))
    found = loads_of(lambda: accelerator.load_state(str(root)))
    [load] = found.loaded
    assert (load.loader, load.requested) == ("accelerate.Accelerator.load_state", str(root))
    files = found.files(load)
    assert {"model.safetensors", "optimizer.bin"} <= set(files)
    assert found.of(load).digest == digest_of_tree(root, *files)
    assert not found.read
    assert optimizer is not None
