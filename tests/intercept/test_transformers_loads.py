"""Loads by transformers: one record each, by content, and the same weights as without us."""

import hashlib
import inspect
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from intercept.loading import digest, digest_of_tree, loads_of
from provenance.small_models import TEMPLATE
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2LMHeadModel,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    pipeline,
)

from instrument.intercept.libraries import LIBRARIES
from instrument.testing import InterceptorContract

_VERSION = tuple(map(int, transformers.__version__.split(".")[:2]))
_DTYPE = "dtype" if _VERSION >= (4, 56) else "torch_dtype"
_MODEL_FILES = ("config.json", "generation_config.json", "model.safetensors")


class TestContract(InterceptorContract):
    library = next(library for library in LIBRARIES if library.name == "transformers")

    @pytest.fixture(autouse=True)
    def _models(self, models: Path) -> None:
        self.models = models

    def calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        llama = self.models / "llama"
        return {
            "auto": lambda: AutoModelForCausalLM.from_pretrained(llama),
            "class": lambda: LlamaForCausalLM.from_pretrained(llama),
            "tokenizer": lambda: AutoTokenizer.from_pretrained(llama),
            "config": lambda: AutoConfig.from_pretrained(llama),
        }

    def concurrent_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        calls = self.calls(path)  # a model that is loaded patches its base class meanwhile
        return {name: calls[name] for name in ("tokenizer", "config")}

    def failing_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return {
            "not there": lambda: AutoModel.from_pretrained(path / "nothing"),
            "no tokenizer": lambda: AutoTokenizer.from_pretrained(path),
            "damaged": lambda: LlamaForCausalLM.from_pretrained(_damaged(self.models, path)),
        }

    def same(self, one: Any, other: Any) -> bool:
        if isinstance(one, torch.nn.Module):
            return same_weights(one, other)
        if hasattr(one, "to_dict"):
            return bool(one.to_dict() == other.to_dict())
        return bool(one.get_vocab() == other.get_vocab())


def _damaged(models: Path, path: Path) -> Path:
    broken = path / "damaged"
    if not broken.exists():
        shutil.copytree(models / "llama", broken)
        weights = broken / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
    return broken


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Bit for bit."""
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(
        mine[name].dtype == theirs[name].dtype
        and mine[name].numpy().tobytes() == theirs[name].numpy().tobytes()
        for name in mine
    )


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("llama", LlamaForCausalLM),
        ("gpt2", GPT2LMHeadModel),
        ("llama", AutoModelForCausalLM),
        ("gpt2", AutoModelForCausalLM),
    ],
)
def test_a_model_is_one_record_with_the_digests_of_sha256sum(
    models: Path, name: str, cls: Any
) -> None:
    directory = models / name
    found = loads_of(lambda: cls.from_pretrained(directory))
    (model,) = found.loaded
    assert found.files(model) == {file: digest(directory / file) for file in _MODEL_FILES}
    assert found.of(model).digest == digest_of_tree(directory, *_MODEL_FILES)
    assert found.of(model).reason is None
    assert (model.what, model.requested, model.error) == ("model", str(directory), None)
    assert model.call_site == f"test_transformers_loads.py:{_line_of('found = loads_of(')}"
    assert model.library == f"transformers {transformers.__version__}"
    assert not found.problems


def _line_of(text: str) -> int:
    lines, start = inspect.getsourcelines(test_a_model_is_one_record_with_the_digests_of_sha256sum)
    return start + next(number for number, line in enumerate(lines) if text in line)


def test_a_model_says_what_it_is_and_tied_weights_count_once(models: Path) -> None:
    (model,) = loads_of(lambda: AutoModelForCausalLM.from_pretrained(models / "gpt2")).loaded
    plain = GPT2LMHeadModel.from_pretrained(models / "gpt2")
    assert model.facts["parameters"] == sum(p.numel() for p in plain.parameters())
    twice = plain.named_parameters(remove_duplicate=False)
    assert model.facts["parameters"] < sum(parameter.numel() for _, parameter in twice)
    assert model.facts["class_name"] == "GPT2LMHeadModel"
    assert model.facts["model_type"] == "gpt2"
    assert model.facts["dtype"] == "float32"
    assert model.facts["devices"] == ["cpu"]
    assert model.loader == "transformers.AutoModelForCausalLM.from_pretrained"


def test_a_model_says_how_it_attends_and_generates(models: Path, tmp_path: Path) -> None:
    directory = tmp_path / "own"
    shutil.copytree(models / "gpt2", directory)
    (directory / "generation_config.json").write_text(json.dumps({"top_k": 7, "do_sample": True}))

    def load() -> None:
        for how in ("eager", "sdpa"):
            GPT2LMHeadModel.from_pretrained(directory, attn_implementation=how)

    first, second = loads_of(load).loaded
    assert (first.facts["attention"], second.facts["attention"]) == ("eager", "sdpa")
    for model in (first, second):
        assert model.facts["generation"].items() >= {"top_k": 7, "do_sample": True}.items()


def test_a_model_that_is_quantised_says_how(models: Path, tmp_path: Path) -> None:
    directory = tmp_path / "quantised"
    shutil.copytree(models / "llama", directory)
    config = json.loads((directory / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    (directory / "config.json").write_text(json.dumps(config))
    (load,) = loads_of(lambda: AutoConfig.from_pretrained(directory)).loaded
    assert load.facts["quantization"]["quant_method"] == "gptq"
    assert load.facts["quantization"]["bits"] == 4


def test_a_sharded_model_is_one_load_of_all_its_shards(models: Path) -> None:
    directory = models / "sharded"
    for cls in (AutoModelForCausalLM, LlamaForCausalLM):
        found = loads_of(lambda cls=cls: cls.from_pretrained(directory))  # type: ignore[misc]
        (model,) = found.loaded
        names = {file.name for file in directory.glob("model*")} | {*_MODEL_FILES[:2]}
        assert len(names) > 6
        assert found.files(model) == {name: digest(directory / name) for name in names}
        assert found.of(model).digest == digest_of_tree(directory, *names)


def test_a_tokenizer_with_its_special_tokens_and_template(models: Path) -> None:
    for cls in (AutoTokenizer, PreTrainedTokenizerFast):
        found = loads_of(lambda cls=cls: cls.from_pretrained(models / "llama"))  # type: ignore[misc]
        (tokenizer,) = found.loaded
        assert tokenizer.what == "tokenizer"
        assert {"tokenizer.json", "tokenizer_config.json"} <= set(found.files(tokenizer))
        assert all(
            sum_ == digest(models / "llama" / name) for name, sum_ in found.files(tokenizer).items()
        )
        wanted = hashlib.sha256(TEMPLATE.encode()).hexdigest()
        assert tokenizer.facts["chat_template"] == f"sha256:{wanted}"
        assert tokenizer.facts["special_tokens"]["bos_token"] == "<s>"  # noqa: S105 - no secret
        assert tokenizer.facts["vocabulary"] == len(cls.from_pretrained(models / "llama"))


def test_a_long_template_is_known_by_its_digest_alone(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "llama", tmp_path / "m")
    made = AutoTokenizer.from_pretrained(tmp_path / "m")
    made.chat_template = "x" * 1_000_000
    made.save_pretrained(tmp_path / "m")
    (holder,) = [
        file for file in (tmp_path / "m").iterdir() if b"x" * 1_000_000 in file.read_bytes()
    ]
    found = loads_of(lambda: AutoTokenizer.from_pretrained(tmp_path / "m"))
    (tokenizer,) = found.loaded
    wanted = hashlib.sha256(b"x" * 1_000_000).hexdigest()
    assert tokenizer.facts["chat_template"] == f"sha256:{wanted}"
    assert len(json.dumps(tokenizer.facts)) < 5_000
    assert holder.name in found.files(tokenizer)


def test_a_pipeline_is_a_model_and_a_tokenizer_that_name_it(models: Path) -> None:
    found = loads_of(lambda: pipeline("text-generation", model=str(models / "llama")))
    assert sorted(load.what for load in found.loaded) == ["model", "tokenizer"]
    for load in found.loaded:
        assert load.facts["pipeline"] == "text-generation"
    model = next(load for load in found.loaded if load.what == "model")
    assert found.files(model) == {file: digest(models / "llama" / file) for file in _MODEL_FILES}


def test_a_config_alone_is_a_load_and_within_a_model_a_part_of_it(models: Path) -> None:
    found = loads_of(lambda: AutoConfig.from_pretrained(models / "llama"))
    (config,) = found.loaded
    assert (config.what, config.facts["model_type"]) == ("config", "llama")
    assert found.of(config).digest == digest(models / "llama" / "config.json")


def test_an_adapter_directory_is_the_base_and_the_adapter(models: Path, adapter: Path) -> None:
    found = loads_of(lambda: AutoModelForCausalLM.from_pretrained(adapter))
    by_kind = {load.what: load for load in found.loaded}
    assert sorted(load.what for load in found.loaded) == ["adapter", "model"]
    base, lora = by_kind["model"], by_kind["adapter"]
    assert lora.parent_load_id == base.load_id
    assert base.requested == str(models / "llama")
    assert found.files(base) == {file: digest(models / "llama" / file) for file in _MODEL_FILES}
    assert lora.requested == str(adapter)
    assert found.files(lora) == {
        name: digest(adapter / name)
        for name in ("adapter_config.json", "adapter_model.safetensors")
    }


def test_options_that_decide_are_told_and_secrets_are_not(models: Path, store_path: Path) -> None:
    secret = "hf_" + "Secret" * 6
    options: dict[str, Any] = {"revision": "main", "token": secret, _DTYPE: torch.float16}
    found = loads_of(lambda: LlamaForCausalLM.from_pretrained(models / "llama", **options))
    (model,) = found.loaded
    assert model.revision == "main"
    assert model.facts["asked"][_DTYPE] == "torch.float16"
    assert model.facts["dtype"] == "float16"
    written = [path for path in store_path.rglob("*") if path.is_file()]
    assert written
    assert all(secret.encode() not in path.read_bytes() for path in written)


def test_weights_that_the_caller_gives_are_told_so(models: Path) -> None:
    state = LlamaForCausalLM.from_pretrained(models / "llama").state_dict()
    config = AutoConfig.from_pretrained(models / "llama")
    found = loads_of(
        lambda: LlamaForCausalLM.from_pretrained(None, config=config, state_dict=state)
    )
    (model,) = found.loaded
    assert model.requested is None
    assert "given by the caller" in model.facts["asked"]["state_dict"]
    assert found.of(model).digest is None


def test_a_model_that_is_not_there_leaves_no_model(models: Path, tmp_path: Path) -> None:
    from instrument import ExperimentContext

    missing = pytest.raises((OSError, ValueError), match="nothing")
    with ExperimentContext(monitor_hardware=False) as run, missing:
        AutoModel.from_pretrained(tmp_path / "nothing")
    assert run.store is not None
    assert not run.store.run(run.id).models


def test_the_summary_names_what_was_loaded(models: Path) -> None:
    from instrument import ExperimentContext

    with ExperimentContext(monitor_hardware=False) as run:
        AutoModelForCausalLM.from_pretrained(models / "llama")
    assert run.store is not None
    summary = run.store.run(run.id)
    assert summary.models is not None
    (model,) = summary.models
    assert model["digest"] == digest_of_tree(models / "llama", *_MODEL_FILES)
    assert model["size_bytes"] == sum((models / "llama" / f).stat().st_size for f in _MODEL_FILES)


@pytest.fixture
def hub(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache as the hub's client makes it, with one small model."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return _cached(models / "llama", tmp_path / "hub", "us/tiny")


def _cached(directory: Path, cache: Path, name: str) -> Path:
    """Put a model into a cache, as the hub's client does."""
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("0123456789" * 4)
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(snapshot.name)
    for file in directory.iterdir():
        data = file.read_bytes()
        git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False)
        is_large = file.suffix == ".safetensors"
        blob = hashlib.sha256(data).hexdigest() if is_large else git.hexdigest()
        (repository / "blobs" / blob).write_bytes(data)
        (snapshot / file.name).symlink_to(os.path.relpath(repository / "blobs" / blob, snapshot))
    return cache


def test_an_adapter_of_the_hub_leaves_the_base_what_it_is(
    models: Path, adapter: Path, hub: Path
) -> None:
    peft = pytest.importorskip("peft")
    if peft.__version__ == "0.12.0":
        pytest.skip("this peft asks the hub for a file that is in the cache, also offline")
    _cached(adapter, hub, "us/lora")
    options = {"cache_dir": hub, "adapter_kwargs": {"cache_dir": hub}}  # the second for version 4
    found = loads_of(lambda: AutoModelForCausalLM.from_pretrained("us/lora", **options))
    by_kind = {load.what: load for load in found.loaded}
    assert sorted(by_kind) == ["adapter", "model"]
    assert set(found.files(by_kind["model"])) == set(_MODEL_FILES)
    assert by_kind["model"].requested == str(models / "llama")
    assert by_kind["adapter"].requested == "us/lora"
    assert "adapter_model.safetensors" in found.files(by_kind["adapter"])


def test_a_model_of_the_hub_has_its_commit_and_its_blobs_are_verified(hub: Path) -> None:
    found = loads_of(
        lambda: (
            AutoModelForCausalLM.from_pretrained("us/tiny", cache_dir=hub),
            AutoTokenizer.from_pretrained("us/tiny", cache_dir=hub, revision="main"),
        )
    )
    for load in found.loaded:
        assert (load.requested, load.commit) == ("us/tiny", "0123456789" * 4)
        assert found.of(load).reason is None
    assert [load.what for load in found.loaded] == ["model", "tokenizer"]
    assert found.loaded[1].revision == "main"
    assert set(found.files(found.loaded[0])) == set(_MODEL_FILES)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_blob_that_is_not_what_the_hub_named_is_told(hub: Path, name: str) -> None:
    (file,) = hub.glob(f"models--us--tiny/snapshots/*/{name}")
    data = bytearray(file.resolve().read_bytes())
    data[-2] ^= 1 if name.endswith("safetensors") else 0
    file.resolve().write_bytes(bytes(data) + (b"" if name.endswith("safetensors") else b" "))
    found = loads_of(lambda: AutoModelForCausalLM.from_pretrained("us/tiny", cache_dir=hub))
    (model,) = found.loaded
    reason = found.of(model).reason
    assert reason is not None
    assert reason.startswith(f"{name}: differs from the name that the hub gave it")
    assert found.of(model).digest is not None


def test_t30_code_that_came_with_a_model_and_ran_is_told_with_its_digest(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "from transformers import GPT2LMHeadModel\n"
        "class Own(GPT2LMHeadModel):\n"
        "    @classmethod\n"
        "    def from_pretrained(cls, *args, **kwargs):\n"
        "        return super().from_pretrained(*args, **kwargs)\n"
    )
    directory = tmp_path / "own_model"
    shutil.copytree(models / "gpt2", directory)
    (directory / "modeling_own.py").write_text(code)
    config = json.loads((directory / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_own.Own"}
    (directory / "config.json").write_text(json.dumps(config))
    from transformers import dynamic_module_utils

    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    loaded: list[Any] = []
    found = loads_of(
        lambda: loaded.append(
            AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=True)
        )
    )
    (model,) = found.loaded
    assert type(loaded[0]).__name__ == "Own"
    assert model.facts["asked"]["trust_remote_code"] is True
    assert model.facts["auto_map"]["AutoModelForCausalLM"].endswith("modeling_own.Own")
    wanted = f"sha256:{hashlib.sha256(code.encode()).hexdigest()}"
    assert model.facts["ran_code"]["modeling_own.py"] == wanted
    assert found.files(model)["modeling_own.py"] == wanted


def test_a_class_of_the_users_that_overrides_the_call(models: Path) -> None:
    class Mine(LlamaForCausalLM):
        @classmethod
        def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
            made: Any = super().from_pretrained(*args, **kwargs)
            made.mine = True
            return made

    loaded: list[Any] = []
    found = loads_of(lambda: loaded.append(Mine.from_pretrained(models / "llama")))
    assert loaded[0].mine
    (model,) = found.loaded
    assert model.facts["class_name"].endswith("Mine")
