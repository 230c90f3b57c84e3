"""Adapters put on a model by peft: each a record, attributed to the load of its base."""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from intercept.loading import digest, digest_of_tree, loads_of
from transformers import LlamaForCausalLM

from instrument.intercept.libraries import LIBRARIES
from instrument.testing import InterceptorContract

peft = pytest.importorskip("peft", reason="peft is not installed: its loads are not tested")
pytestmark = pytest.mark.filterwarnings("ignore")  # peft and transformers warn of one another

_FILES = ("adapter_config.json", "adapter_model.safetensors")


class TestContract(InterceptorContract):
    library = next(library for library in LIBRARIES if library.name == "peft")

    @pytest.fixture(autouse=True)
    def _models(self, models: Path, adapter: Path) -> None:
        self.adapter = adapter
        self.base = LlamaForCausalLM.from_pretrained(models / "llama")

    def calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return {
            "from_pretrained": lambda: peft.PeftModel.from_pretrained(self._base(), self.adapter),
            "by name": lambda: peft.PeftModel.from_pretrained(
                model=self._base(), model_id=str(self.adapter), adapter_name="one"
            ),
        }

    def failing_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        base = self._base()
        return {"empty": lambda: peft.PeftModel.from_pretrained(base, path / "nothing")}

    def same(self, one: Any, other: Any) -> bool:
        weights, others = one.state_dict(), other.state_dict()
        return weights.keys() == others.keys() and all(
            torch.equal(weights[name], others[name]) for name in weights
        )

    def _base(self) -> Any:
        return copy.deepcopy(self.base)


def test_an_adapter_is_told_once_with_its_files_and_the_load_of_its_base(
    models: Path, adapter: Path
) -> None:
    def load() -> None:
        base = LlamaForCausalLM.from_pretrained(models / "llama")
        adapted = peft.PeftModel.from_pretrained(base, adapter)
        adapted.load_adapter(adapter, adapter_name="second")

    found = loads_of(load)
    base, first, second = found.loaded
    assert (base.what, first.what, second.what) == ("model", "adapter", "adapter")
    assert first.loader == "peft.PeftModel.from_pretrained"
    assert second.loader == "peft.PeftModel.load_adapter"
    assert [one.facts["adapter_name"] for one in (first, second)] == ["default", "second"]
    for one in (first, second):
        assert one.facts["type"] == "LORA"
        assert one.facts["made_for"] == str(models / "llama")
        assert one.facts["base"]["class_name"] == "LlamaForCausalLM"
        assert one.facts["base"]["load_id"] == base.load_id
        assert found.of(one).digest == digest_of_tree(adapter, *_FILES)
    assert not found.problems


def test_a_base_that_was_not_loaded_is_told_by_its_class(adapter: Path, models: Path) -> None:
    base = LlamaForCausalLM.from_pretrained(models / "llama")
    found = loads_of(lambda: peft.PeftModel.from_pretrained(base, adapter))
    [told] = found.loaded
    assert told.facts["base"] == {"class_name": "LlamaForCausalLM"}
    assert found.files(told) == {name: digest(adapter / name) for name in _FILES}


def test_auto_classes_tell_the_base_and_the_adapter(adapter: Path) -> None:
    found = loads_of(lambda: peft.AutoPeftModelForCausalLM.from_pretrained(adapter))
    assert [one.what for one in found.loaded] == ["model", "adapter"]
    base, told = found.loaded
    assert told.facts["base"]["load_id"] == base.load_id
    assert found.of(told).digest == digest_of_tree(adapter, *_FILES)
    assert not set(_FILES) & set(found.files(base))
