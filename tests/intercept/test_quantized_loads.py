"""Loads that quantise, or read what is quantised: known by content, and the same as without us."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from intercept.loading import digest, loads_of
from intercept.test_gguf_loads import write_model

from instrument.intercept.facts import plain

torch = pytest.importorskip("torch", reason="torch is not installed: nothing is quantised")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")


def _config(method: str) -> Any:
    if method == "bitsandbytes":
        return transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    if method == "quanto":
        return transformers.QuantoConfig(weights="int8")
    quantization = pytest.importorskip("torchao.quantization")
    return transformers.TorchAoConfig(quantization.Int8WeightOnlyConfig())


def _load(path: Path, method: str) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(
        path, quantization_config=_config(method), device_map="cpu"
    )


def _answer(model: Any) -> Any:
    with torch.no_grad():
        return model(torch.tensor([[5, 6, 7]])).logits


@pytest.mark.parametrize(
    ("method", "library"),
    [("bitsandbytes", "bitsandbytes"), ("quanto", "optimum"), ("torchao", "torchao")],
)
@pytest.mark.filterwarnings("ignore")  # what these libraries warn of is theirs
def test_a_quantised_load(models: Path, method: str, library: str) -> None:
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed: requirements/other/quantized.txt has it")
    without = _load(models / "llama", method)
    loaded: list[Any] = []
    found = loads_of(lambda: loaded.append(_load(models / "llama", method)))
    (load,) = found.loaded
    assert not found.problems
    assert load.facts["quantization"]["quant_method"] == method
    assert load.facts["asked"]["quantization_config"] == plain(_config(method))
    assert load.facts["parameters"] == without.num_parameters()
    assert found.files(load) == {
        name: digest(models / "llama" / name)
        for name in ("config.json", "generation_config.json", "model.safetensors")
    }
    assert found.of(load).digest is not None
    assert torch.equal(_answer(loaded[0]), _answer(without))


@pytest.mark.filterwarnings("ignore")
def test_a_quantised_gguf_that_is_unpacked(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", "Q8_0")

    def load() -> Any:
        return transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf")

    without = load()
    loaded: list[Any] = []
    found = loads_of(lambda: loaded.append(load()))
    (told,) = found.loaded
    assert not found.problems
    assert told.facts["asked"]["gguf_file"] == "m.gguf"
    assert found.files(told) == {"m.gguf": digest(path)}
    assert found.of(told).digest == digest(path)
    assert torch.equal(_answer(loaded[0]), _answer(without))
