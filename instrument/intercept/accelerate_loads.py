"""Weights that accelerate puts into a model: alone, in shards, or with the state of a training."""

from typing import Any, Final

from instrument.intercept.facts import known
from instrument.intercept.loads import Load, LoadCall
from instrument.intercept.targets import Target


def _begin(load: Load, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    model = args[0] if args else kwargs.get("model")
    device_map = kwargs.get("device_map")
    load.facts |= known(
        class_name=type(model).__qualname__,
        device_map=device_map if isinstance(device_map, (str, dict)) else None,
        dtype=kwargs.get("dtype"),
    )


def _checkpoint(module: str, name: str) -> Target:
    call = LoadCall("weights", f"accelerate.{name}", "checkpoint", begin=_begin, position=1)
    return Target(module, name, call)


TARGETS: Final = (
    _checkpoint("accelerate.utils.modeling", "load_checkpoint_in_model"),
    _checkpoint("accelerate.big_modeling", "load_checkpoint_and_dispatch"),
    Target(
        "accelerate.accelerator",
        "Accelerator.load_state",
        LoadCall("weights", "accelerate.Accelerator.load_state", "input_dir"),
    ),
)
