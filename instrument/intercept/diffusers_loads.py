"""Loads by diffusers: a pipeline is one load with parts, a part alone is a load too."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from instrument.intercept.facts import known
from instrument.intercept.loads import Load, LoadCall, current_load, problem
from instrument.intercept.targets import Target

_ASKED: Final = (
    "custom_pipeline",
    "device_map",
    "quantization_config",
    "subfolder",
    "torch_dtype",
    "use_safetensors",
    "variant",
)


def _asked(load: Load, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
    revision = kwargs.get("revision")
    load.revision = str(revision)[:200] if revision is not None else None
    asked = known(**{name: kwargs[name] for name in _ASKED if name in kwargs})
    if asked:
        load.facts["asked"] = asked


def _pipeline(load: Load, pipeline: Any) -> None:
    """The class of each part, and how many parameters they have together."""
    _described(load, pipeline)
    parts = pipeline.components
    load.facts["parts"] = {
        name: type(part).__qualname__ for name, part in parts.items() if part is not None
    }
    counts = [part.num_parameters() for part in parts.values() if hasattr(part, "num_parameters")]
    load.facts["parameters"] = sum(counts)


def _model(load: Load, result: Any) -> None:
    model = result[0] if isinstance(result, tuple) else result
    _described(load, model)
    load.facts |= known(
        parameters=model.num_parameters(), dtype=str(model.dtype).removeprefix("torch.")
    )


def _described(load: Load, result: Any) -> None:
    thing = result[0] if isinstance(result, tuple) else result
    load.facts |= known(class_name=type(thing).__qualname__)


def _sees_config(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """``load_config`` reads the file that says what a part is; from the hub it downloads it."""
    found = wrapped(*args, **kwargs)
    load = current_load()
    given = args[0] if args else kwargs.get("pretrained_model_name_or_path")
    if load is not None and isinstance(given, (str, os.PathLike)):
        try:
            path = Path(given)
            if path.is_dir():
                path = path / (kwargs.get("subfolder") or "") / instance.config_name
            if path.is_file():
                load.reads(path)
        except Exception as error:
            problem("see the configuration of a part", error)
    return found


def _from_pretrained(module: str, kind: str, name: str, end: Callable[[Load, Any], None]) -> Target:
    call = LoadCall(
        kind,
        lambda cls: f"diffusers.{getattr(cls, '__qualname__', '?')}.from_pretrained",
        "pretrained_model_name_or_path",
        begin=_asked,
        end=end,
    )
    return Target(module, f"{name}.from_pretrained", call)


TARGETS: Final = (
    _from_pretrained("diffusers.pipelines.pipeline_utils", "model", "DiffusionPipeline", _pipeline),
    _from_pretrained("diffusers.models.modeling_utils", "model", "ModelMixin", _model),
    _from_pretrained(
        "diffusers.schedulers.scheduling_utils", "config", "SchedulerMixin", _described
    ),
    Target("diffusers.configuration_utils", "ConfigMixin.load_config", _sees_config),
)
