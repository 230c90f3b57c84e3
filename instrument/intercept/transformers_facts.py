"""What models, tokenizers and processors of transformers say of themselves."""

import hashlib
import re
import sys
from pathlib import Path
from typing import Any, Final

from instrument.intercept.facts import digest_of_text, known, plain
from instrument.intercept.loads import Load

ADAPTER: Final = "adapter_config.json"
_SNAPSHOT: Final = re.compile(r"/snapshots/([0-9a-f]{40})/")
_REMOTE: Final = "transformers_modules"
_MAX_CODE_FILES: Final = 100


def describe(load: Load, result: Any) -> None:
    """Adds what was loaded, by what it is: an Auto class may give anything."""
    if isinstance(result, tuple):  # with output_loading_info or return_unused_kwargs
        result = result[0]
    load.facts |= known(class_name=type(result).__qualname__) | _code(result)
    if hasattr(result, "num_parameters"):
        load.kind = "model"
        _describe_model(load, result)
    elif hasattr(result, "special_tokens_map"):
        load.kind = "tokenizer"
        load.facts |= _tokenizer(result)
    elif hasattr(result, "model_type"):
        _describe_config(load, result)
    elif hasattr(getattr(result, "tokenizer", None), "special_tokens_map"):
        load.facts |= _tokenizer(result.tokenizer)


def commit_of(path: str) -> str | None:
    """The commit that a file in the cache of the hub is of."""
    snapshot = _SNAPSHOT.search(path)
    return snapshot[1] if snapshot else None


def sees_file(load: Load, path: str) -> None:
    """`load` reads `path`, unless that is of an adapter: the base that it names is the model."""
    if Path(path).name == ADAPTER and load.kind != "adapter":
        return
    load.reads(path)
    load.commit = load.commit or commit_of(path)


def _describe_model(load: Load, model: Any) -> None:
    """Class, type, size, precision, placement and settings; tied weights count once."""
    _describe_config(load, getattr(model, "config", None))
    if load.requested is not None and load.facts.get("adapter") == load.requested:
        load.requested = plain(model.name_or_path)  # the adapter was asked for, and named its base
    parameters = list(model.parameters())
    load.facts |= known(
        dtype=str(model.dtype).removeprefix("torch."),
        parameters=model.num_parameters(),
        attention=getattr(model.config, "_attn_implementation", None),
        devices=sorted({str(parameter.device) for parameter in parameters}),
        device_map=getattr(model, "hf_device_map", None),
        generation=_generation(model),
    )


def _describe_config(load: Load, config: Any) -> None:
    load.facts |= known(
        model_type=getattr(config, "model_type", None),
        quantization=getattr(config, "quantization_config", None),
        auto_map=getattr(config, "auto_map", None),
    )
    load.commit = load.commit or getattr(config, "_commit_hash", None)


def _tokenizer(tokenizer: Any) -> dict[str, Any]:
    """Size, special tokens, and the digest of the chat template, or of each where it has some."""
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):
        template = {str(name): digest_of_text(str(text)) for name, text in template.items()}
    elif template is not None:
        template = digest_of_text(str(template))
    special = tokenizer.special_tokens_map  # their names look like those of secrets
    return known(
        vocabulary=len(tokenizer),
        is_fast=getattr(tokenizer, "is_fast", None),
        padding_side=getattr(tokenizer, "padding_side", None),
        chat_template=template,
    ) | {"special_tokens": {str(name): plain(_texts(token)) for name, token in special.items()}}


def _texts(token: Any) -> Any:
    return [str(one) for one in token] if isinstance(token, (list, tuple)) else str(token)


def _generation(model: Any) -> dict[str, Any] | None:
    """The generation settings that the model brings, without those at their default."""
    config = getattr(model, "generation_config", None)
    return config.to_diff_dict() or None if config is not None else None


def _code(result: Any) -> dict[str, Any]:
    """The code that came with the model and was run: each of its files, by digest."""
    package, _, rest = type(result).__module__.partition(".")
    if package != _REMOTE or not rest:
        return {}
    folder = type(result).__module__.rpartition(".")[0] + "."
    files: dict[str, str] = {}
    for name, module in sorted(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if name.startswith(folder) and path and len(files) < _MAX_CODE_FILES:
            data = Path(path).read_bytes()
            files[Path(path).name] = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return {"ran_code": files}
