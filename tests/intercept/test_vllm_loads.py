"""vLLM, whose engines need a GPU: without one a stand-in of its two classes is asked.

What stands in has the signature and the attributes of the real classes (0.33.0), and loads as they
do: in a process of its own.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from intercept.loading import digest, loads_of

ENGINE = """
import subprocess, sys

READ = "import sys; from safetensors.numpy import load_file; load_file(sys.argv[1])"


class {name}:
    def __init__(self, vllm_config, executor_class, log_stats, multiprocess_mode=False):
        weights = vllm_config.model_config.model + "/model.safetensors"
        command = [sys.executable, "-c", READ, weights]
        if weights.startswith("/"):  # else it is a name on the hub
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        self.vllm_config = vllm_config
"""


@pytest.fixture
def vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A stand-in of the library, importable for one test."""
    engine = tmp_path / "stand-in" / "vllm" / "v1" / "engine"
    engine.mkdir(parents=True)
    for package in (engine, engine.parent, engine.parent.parent):
        (package / "__init__.py").write_text("")
    (tmp_path / "stand-in" / "vllm" / "__init__.py").write_text('__version__ = "0.33.0"')
    (engine / "llm_engine.py").write_text(ENGINE.format(name="LLMEngine"))
    (engine / "async_llm.py").write_text(ENGINE.format(name="AsyncLLM"))
    monkeypatch.syspath_prepend(tmp_path / "stand-in")
    yield tmp_path
    for module in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
        del sys.modules[module]


def config(model: Path, **options: Any) -> SimpleNamespace:
    facts = {
        "model": str(model), "tokenizer": str(model), "revision": None, "dtype": "torch.bfloat16",
        "quantization": None, "trust_remote_code": False, "max_model_len": 64, "seed": 7, **options,
    }  # fmt: skip
    return SimpleNamespace(
        model_config=SimpleNamespace(**facts),
        load_config=SimpleNamespace(load_format="safetensors"),
        parallel_config=SimpleNamespace(tensor_parallel_size=2, pipeline_parallel_size=1),
    )


@pytest.mark.parametrize(
    ("module", "name"), [("llm_engine", "LLMEngine"), ("async_llm", "AsyncLLM")]
)
@pytest.mark.parametrize("by_name", [True, False], ids=["by name", "by position"])
def test_the_start_of_an_engine_is_a_load_of_its_model(
    vllm: Path, models: Path, module: str, name: str, by_name: bool
) -> None:
    asked = config(models / "llama")
    engine = getattr(import_module(f"vllm.v1.engine.{module}"), name)

    def start() -> None:
        if by_name:
            made = engine(vllm_config=asked, executor_class=None, log_stats=False)
        else:
            made = engine(asked, None, log_stats=False)
        assert made.vllm_config is asked

    found = loads_of(start)
    [load] = found.loaded
    assert (load.what, load.loader, load.requested) == (
        "model",
        f"vllm.{name}",
        str(models / "llama"),
    )
    files = found.files(load)
    assert files["model.safetensors"] == digest(models / "llama" / "model.safetensors")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= files.keys()
    facts = {"dtype": "bfloat16", "seed": 7, "tensor_parallel_size": 2, "context_size": 64}
    assert facts.items() <= load.facts.items()
    assert found.problems == []


def test_a_model_of_the_hub_is_identified_in_its_cache(
    vllm: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789" * 4
    there = vllm / "hub" / "models--org--tiny"
    shutil.copytree(models / "llama", there / "snapshots" / commit)
    (there / "refs").mkdir()
    (there / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(vllm / "hub"))
    engine = import_module("vllm.v1.engine.llm_engine").LLMEngine
    found = loads_of(lambda: engine(config(Path("org/tiny")), None, log_stats=False))
    [load] = found.loaded
    assert (load.requested, load.commit) == ("org/tiny", commit)
    assert found.files(load)["model.safetensors"] == digest(models / "llama" / "model.safetensors")
    unknown = loads_of(lambda: engine(config(Path("org/another")), None, log_stats=False))
    [load] = unknown.loaded
    assert unknown.of(load).digest is None


def test_an_engine_that_does_not_start_raises_its_own_error(vllm: Path) -> None:
    engine = import_module("vllm.v1.engine.llm_engine").LLMEngine

    def start() -> None:
        with pytest.raises(subprocess.CalledProcessError):
            engine(config(vllm / "nothing"), None, log_stats=False)

    [load] = loads_of(start).loaded
    assert load.error is not None
    assert load.error.startswith("CalledProcessError")


def test_a_configuration_of_another_shape_stops_no_engine(vllm: Path) -> None:
    module = vllm / "stand-in" / "vllm" / "v1" / "engine" / "llm_engine.py"
    module.write_text("class LLMEngine:\n    def __init__(self, vllm_config): self.c = vllm_config")
    engine = import_module("vllm.v1.engine.llm_engine").LLMEngine
    made: list[Any] = []
    found = loads_of(lambda: made.append(engine(7)))
    assert (made[0].c, found.loaded) == (7, [])
    [problem] = found.problems
    assert problem.doing == "record the load of a model"


@pytest.mark.gpu
def test_a_real_engine(models: Path) -> None:
    library = pytest.importorskip("vllm", reason="vLLM is not installed")
    start: Callable[[], Any] = lambda: library.LLM(  # noqa: E731
        str(models / "llama"), enforce_eager=True, max_model_len=32, gpu_memory_utilization=0.1
    )
    [load] = [load for load in loads_of(start).loaded if load.what == "model"]
    assert load.requested == str(models / "llama")
