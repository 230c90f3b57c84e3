"""Loads by transformers: models, tokenizers, processors, configurations, and their files."""

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from instrument.intercept import chat_templates
from instrument.intercept.facts import known
from instrument.intercept.loads import (
    Group,
    Load,
    LoadCall,
    current_group,
    current_load,
    group_of_loads,
    problem,
)
from instrument.intercept.targets import Around, Target
from instrument.intercept.transformers_facts import ADAPTER, describe, sees_file

_ASKED: Final = (
    "attn_implementation",
    "device_map",
    "dtype",
    "from_flax",
    "from_tf",
    "gguf_file",
    "quantization_config",
    "subfolder",
    "torch_dtype",
    "trust_remote_code",
    "use_fast",
    "use_safetensors",
    "variant",
)


def _asked(load: Load, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
    """The options that decide what is loaded; no other is looked at, some are secrets."""
    revision = kwargs.get("revision")
    load.revision = str(revision)[:200] if revision is not None else None
    asked = known(**{name: kwargs[name] for name in _ASKED if name in kwargs})
    if kwargs.get("state_dict") is not None:
        asked["state_dict"] = "given by the caller: no weights were read"
    if asked:
        load.facts["asked"] = asked


def _adapter_asked(load: Load, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    name = args[1] if len(args) > 1 else kwargs.get("adapter_name")
    load.facts |= known(adapter_name=name or "default")
    if load.requested is not None:  # peft opens it by itself
        _sees(load, None, os.path.join(load.requested, ADAPTER))  # noqa: PTH118 - text


def _adapted(load: Load, result: Any) -> None:  # noqa: ARG001 - the model is what it was
    if load.outer is not None:
        load.outer.facts["adapter"] = load.requested


def _from_pretrained(cls: Any) -> str:
    return f"transformers.{getattr(cls, '__qualname__', '?')}.from_pretrained"


def _pretrained(kind: str, module: str, classes: str) -> Target:
    """``from_pretrained`` of `classes` in `module`."""
    around = LoadCall(
        kind, _from_pretrained, "pretrained_model_name_or_path", begin=_asked, end=describe
    )
    return Target(f"transformers.{module}", f"{classes}.from_pretrained", around)


def _seeing(files_of: Callable[[Any, tuple[Any, ...], dict[str, Any]], Iterable[Any]]) -> Around:
    """Around a call that finds files of a load; `files_of` gets its result and its arguments."""

    def around(
        wrapped: Callable[..., Any],
        instance: Any,  # noqa: ARG001 - as every `Around`
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        result = wrapped(*args, **kwargs)
        load, group = current_load(), current_group()
        if load is not None or group is not None:
            try:
                for path in files_of(result, args, kwargs):
                    _sees(load, group, path)
            except Exception as error:
                problem("see which files are loaded", error)
        return result

    return around


def _sees(load: Load | None, group: Group | None, path: Any) -> None:
    if not isinstance(path, str) or not os.path.isfile(path):  # noqa: PTH113 - text of a call
        return
    if load is not None:
        sees_file(load, path)
    elif group is not None:
        group.reads(path)


def _found(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterable[Any]:  # noqa: ARG001
    """``cached_file`` and ``cached_files`` look in a directory or in the cache of the hub."""
    return [result] if isinstance(result, str) else result or ()


def _shards(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterable[Any]:
    """``get_checkpoint_shard_files`` reads the index that it is given, and finds what it names."""
    index = args[1] if len(args) > 1 else kwargs.get("index_filename")
    return [index, *result[0]]


def _generation(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterable[Any]:  # noqa: ARG001
    """``GenerationConfig.from_pretrained`` opens a file in a directory by itself."""
    directory = args[0] if args else kwargs.get("pretrained_model_name")
    name = args[1] if len(args) > 1 else kwargs.get("config_file_name")
    if not isinstance(directory, (str, os.PathLike)):
        return []
    return [os.path.join(directory, name or "generation_config.json")]  # noqa: PTH118 - as there


def _pipeline(
    wrapped: Callable[..., Any],
    instance: Any,  # noqa: ARG001 - as every `Around`
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """A pipeline loads a model, a tokenizer and more: each is a load, and names the task."""
    task = args[0] if args else kwargs.get("task")
    with group_of_loads(pipeline=task if isinstance(task, str) else "(by its model)"):
        return wrapped(*args, **kwargs)


_load_adapter: Final = LoadCall(
    "adapter",
    "transformers.PeftAdapterMixin.load_adapter",
    "peft_model_id",
    begin=_adapter_asked,
    end=_adapted,
)
_model: Final = partial(_pretrained, "model")
_tokenizer: Final = partial(_pretrained, "tokenizer")
_processor: Final = partial(_pretrained, "processor")
_config: Final = partial(_pretrained, "config")

TARGETS: Final = (
    _model("modeling_utils", "PreTrainedModel"),
    _model("models.auto.modeling_auto", "*Auto*"),  # each has a copy of its own
    _tokenizer("tokenization_utils_base", "PreTrainedTokenizerBase"),
    _tokenizer("models.auto.tokenization_auto", "AutoTokenizer"),
    _processor("processing_utils", "ProcessorMixin"),
    _processor("feature_extraction_utils", "FeatureExtractionMixin"),
    _processor("image_processing_base", "ImageProcessingMixin"),
    _processor("models.auto.processing_auto", "AutoProcessor"),
    _processor("models.auto.feature_extraction_auto", "AutoFeatureExtractor"),
    _processor("models.auto.image_processing_auto", "AutoImageProcessor"),
    _config("configuration_utils", "Pre*Config"),  # v4 spells it otherwise
    _config("models.auto.configuration_auto", "AutoConfig"),
    Target("transformers.integrations.peft", "PeftAdapterMixin.load_adapter", _load_adapter),
    Target("transformers.utils.hub", "cached_file*", _seeing(_found)),
    Target("transformers.utils.hub", "get_checkpoint_shard_files", _seeing(_shards)),
    Target(
        "transformers.generation.configuration_utils",
        "GenerationConfig.from_pretrained",
        _seeing(_generation),
    ),
    Target("transformers.pipelines", "pipeline", _pipeline),
    *chat_templates.TARGETS,
)
