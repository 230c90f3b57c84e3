"""Engines of vLLM: each loads its model in processes of its own, so its configuration is read.

What is identified are the files of the model's directory, or of its snapshot in the cache of the
hub, of the kinds that engines load.
"""

import sys
from pathlib import Path
from typing import Any, Final

from instrument.intercept.constructors import Constructor
from instrument.intercept.facts import known
from instrument.intercept.loads import Load, LoadCall
from instrument.intercept.targets import Target
from instrument.intercept.transformers_facts import commit_of

_WEIGHTS: Final = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
_BESIDE: Final = (".json", ".model", ".txt", ".jinja", ".tiktoken")
_CONFIG: Final = "config.json"


def _begin(load: Load, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    config = args[0] if args else kwargs["vllm_config"]
    model, parallel = config.model_config, config.parallel_config
    source = str(model.model)
    load.requested = source[:1000]
    load.revision = str(model.revision)[:200] if model.revision is not None else None
    load.facts |= known(
        dtype=str(model.dtype).removeprefix("torch."),
        quantization=model.quantization,
        load_format=str(config.load_config.load_format),
        tokenizer=str(model.tokenizer),
        trust_remote_code=model.trust_remote_code,
        context_size=model.max_model_len,
        seed=model.seed,
        tensor_parallel_size=parallel.tensor_parallel_size,
        pipeline_parallel_size=parallel.pipeline_parallel_size,
    )
    _read(load, Path(source))


def _read(load: Load, source: Path) -> None:
    """The files of `source`, a directory or a file; of one that is not there nothing."""
    if source.is_file():
        load.reads(str(source))
    elif source.is_dir():
        for path in sorted(source.iterdir()):
            if path.suffix in (*_WEIGHTS, *_BESIDE) and path.is_file():
                load.reads(str(path))


def _end(load: Load, engine: Any) -> None:
    """A model of the hub is in its cache by now."""
    source = str(engine.vllm_config.model_config.model)
    if Path(source).exists():
        return
    hub: Any = sys.modules.get("huggingface_hub")
    found = hub.try_to_load_from_cache(source, _CONFIG, revision=load.revision)
    if not isinstance(found, str):
        load.content.skip("was loaded by processes of vLLM, from where is not known")
        return
    load.commit = commit_of(found)
    _read(load, Path(found).parent)


_load: Final = Constructor(
    LoadCall(
        "model",
        lambda engine: f"vllm.{type(engine).__qualname__}",
        "vllm_config",
        begin=_begin,
        end=_end,
    )
)
TARGETS: Final = (
    Target("vllm.v1.engine.async_llm", "AsyncLLM.__init__", _load),
    Target("vllm.v1.engine.llm_engine", "LLMEngine.__init__", _load),
)
