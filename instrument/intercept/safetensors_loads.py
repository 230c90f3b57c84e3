"""Loads of safetensors files: alone, or as the weights of a model that is being loaded."""

from typing import Any, Final

from instrument.intercept.facts import tensor_facts
from instrument.intercept.loads import Load, LoadCall
from instrument.intercept.targets import Target

_FLAVOURS: Final = ("flax", "numpy", "torch")


def _opened(load: Load, opened: Any) -> None:
    load.facts["tensors"] = len(opened.keys())


def _loaded(load: Load, tensors: Any) -> None:
    load.facts |= tensor_facts(tensors.values())


def _from(function: str, argument: str) -> tuple[Target, ...]:
    """The function of that name of each flavour."""
    return tuple(
        Target(
            f"safetensors.{flavour}",
            function,
            LoadCall(
                "weights",
                f"safetensors.{flavour}.{function}",
                argument,
                end=_loaded,
                file=True,
            ),
        )
        for flavour in _FLAVOURS
    )


TARGETS: Final = (
    Target(
        "safetensors",
        "safe_open",
        LoadCall("weights", "safetensors.safe_open", "filename", end=_opened, file=True),
    ),
    *_from("load_file", "filename"),
    *_from("load", "data"),
)
