"""Adapters that peft puts on a model: each names the model it is on, by its load."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from instrument.intercept.facts import known
from instrument.intercept.loads import Load, LoadCall
from instrument.intercept.origins import origin_of
from instrument.intercept.targets import Target

_CONFIG: Final = "adapter_config.json"


def _begin(place: int, load: Load, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """The name of the adapter, and the settings that it came with, where they lie here.

    Args:
        place: Which argument is the name.
        load: The load.
        args: Its positional arguments.
        kwargs: Its other arguments.
    """
    name = args[place] if len(args) > place else kwargs.get("adapter_name")
    load.facts |= known(adapter_name=name or "default")
    revision = kwargs.get("revision")
    load.revision = str(revision)[:200] if revision is not None else None
    config = Path(load.requested or "", kwargs.get("subfolder") or "", _CONFIG)
    if load.requested is not None and config.is_file():
        load.reads(config)


def _end(base: Any, adapted: Any, load: Load, result: Any) -> None:
    """What the adapter is, what it was made for, and what it is on.

    Args:
        base: The model that it is on.
        adapted: The model with adapters; None where it is the result.
        load: The load.
        result: What the call returned.
    """
    model = adapted if adapted is not None else result
    config = model.peft_config[load.facts["adapter_name"]]
    kind = getattr(config.peft_type, "value", config.peft_type)
    load.facts |= known(type=kind, made_for=config.base_model_name_or_path)
    origin = origin_of(base)
    of_origin = origin.facts() if origin is not None else {}
    load.facts["base"] = known(class_name=type(base).__qualname__) | of_origin


def _from_pretrained(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """``PeftModel.from_pretrained(model, model_id)``."""
    base = args[0] if args else kwargs.get("model")
    call = LoadCall(
        "adapter",
        "peft.PeftModel.from_pretrained",
        "model_id",
        begin=partial(_begin, 2),
        end=partial(_end, base, None),
        position=1,
    )
    return call(wrapped, instance, args, kwargs)


def _load_adapter(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """``model.load_adapter(model_id)``: one more for a model that has adapters."""
    call = LoadCall(
        "adapter",
        "peft.PeftModel.load_adapter",
        "model_id",
        begin=partial(_begin, 1),
        end=partial(_end, instance.get_base_model(), instance),
    )
    return call(wrapped, instance, args, kwargs)


TARGETS: Final = (
    Target("peft.peft_model", "PeftModel.from_pretrained", _from_pretrained),
    Target("peft.peft_model", "PeftModel.load_adapter", _load_adapter),
)
