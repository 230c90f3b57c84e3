"""Loads by transformers: models, tokenizers, processors, and the files they come from."""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from instrument.intercept.loads import Load, current_load, load_of
from instrument.intercept.patching import Target

_SNAPSHOT: Final = re.compile(r"/snapshots/([0-9a-f]{40})/")
_MODEL_FILES: Final = re.compile(r".*\.(?:safetensors|bin|json|gguf|h5|msgpack|pt|pth|index)")


def model_facts(load: Load, model: Any) -> None:
    """What a model says of itself: class, type, size, precision, placement, settings."""
    if isinstance(model, tuple):  # output_loading_info=True
        model = model[0]
    config = getattr(model, "config", None)
    parameters = list(model.parameters())
    load.facts |= _known(
        class_name=type(model).__qualname__,
        model_type=getattr(config, "model_type", None),
        dtype=str(model.dtype).removeprefix("torch."),
        parameters=sum(parameter.numel() for parameter in parameters),
        quantization=_plain(getattr(config, "quantization_config", None)),
        attention=getattr(config, "_attn_implementation", None),
        devices=sorted({str(parameter.device) for parameter in parameters}),
        generation=_changed_generation(getattr(model, "generation_config", None)),
    )
    load.commit = load.commit or getattr(config, "_commit_hash", None)


def tokenizer_facts(load: Load, tokenizer: Any) -> None:
    """What a tokenizer says of itself: class, size, special tokens, chat template."""
    template = getattr(tokenizer, "chat_template", None)
    load.facts |= _known(
        class_name=type(tokenizer).__qualname__,
        vocabulary=len(tokenizer),
        is_fast=getattr(tokenizer, "is_fast", None),
        padding_side=getattr(tokenizer, "padding_side", None),
        special_tokens={name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        chat_template=_digest(template) if isinstance(template, str) else None,
    )


def processor_facts(load: Load, processor: Any) -> None:
    """What a processor says of itself, and its tokenizer in it."""
    load.facts |= _known(class_name=type(processor).__qualname__)
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is not None:
        tokenizer_facts(load, tokenizer)
        load.facts["class_name"] = type(processor).__qualname__


def _asked(load: Load, arguments: Any) -> None:
    args, kwargs = arguments
    load.revision = kwargs.get("revision")
    if "pretrained_model_name_or_path" in kwargs and not args:
        load.requested = str(kwargs["pretrained_model_name_or_path"])
    if kwargs.get("trust_remote_code"):
        load.facts["trust_remote_code"] = True


def _loader(name: str) -> Callable[[Any], str]:
    return lambda cls: f"transformers.{getattr(cls, '__qualname__', '?')}.{name}"


def _sees_files(
    wrapped: Callable[..., Any],
    instance: Any,  # noqa: ARG001 - as every `Around`
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """``cached_files`` finds the files of a model, in a directory or in the cache of the hub."""
    found = wrapped(*args, **kwargs)
    load = current_load()
    if load is not None:
        for path in [found] if isinstance(found, str) else found or ():
            if isinstance(path, str) and _MODEL_FILES.fullmatch(path):
                load.reads(path)
                snapshot = _SNAPSHOT.search(path)
                load.commit = load.commit or (snapshot[1] if snapshot else None)
    return found


def _changed_generation(config: Any) -> dict[str, Any] | None:
    """The generation settings that the model brings, without those at their default."""
    if config is None:
        return None
    return {name: _plain(value) for name, value in config.to_diff_dict().items()} or None


def _plain(value: Any) -> Any:
    """`value` as JSON has it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    return str(value)


def _known(**facts: Any) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


TARGETS: Final = (
    Target(
        "transformers.modeling_utils",
        "PreTrainedModel.from_pretrained",
        load_of("model", _loader("from_pretrained"), _asked, model_facts),
    ),
    Target(
        "transformers.tokenization_utils_base",
        "PreTrainedTokenizerBase.from_pretrained",
        load_of("tokenizer", _loader("from_pretrained"), _asked, tokenizer_facts),
    ),
    Target(
        "transformers.processing_utils",
        "ProcessorMixin.from_pretrained",
        load_of("processor", _loader("from_pretrained"), _asked, processor_facts),
    ),
    Target("transformers.utils.hub", "cached_files", _sees_files),
)
