"""Loads by torch: weights, whole models, and data, told apart by what came out."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from instrument.intercept.facts import known, tensor_facts
from instrument.intercept.loads import Load, LoadCall
from instrument.intercept.targets import Target

_HOLDERS: Final = ("state_dict", "model_state_dict", "model", "module")
_ENDINGS: Final = frozenset({"weight", "bias"})


def _loaded(load: Load, result: Any) -> None:
    """Adds what was unpickled; what is neither a model nor its weights is data."""
    import torch

    if isinstance(result, torch.nn.Module):
        _module(load, result)
        return
    tensors = _tensors(result)
    if tensors is None:
        load.kind = "data"
        load.rows = len(result) if isinstance(result, (torch.Tensor, list, tuple)) else None
        return
    load.facts |= tensor_facts(tensors)


def _module(load: Load, module: Any) -> None:
    load.kind = "model"
    name = getattr(module, "original_name", None) or type(module).__qualname__
    load.facts |= known(class_name=name, **tensor_facts(module.parameters()))


def _tensors(value: Any) -> list[Any] | None:
    """The tensors of a state dict, or of the one in a checkpoint; None for anything else."""
    import torch

    if not isinstance(value, Mapping) or not value:
        return None
    if all(isinstance(item, torch.Tensor) for item in value.values()):
        return list(value.values()) if _is_state(value) else None
    for name in _HOLDERS:
        inner = _tensors(value.get(name))
        if inner is not None:
            return inner
    return None


def _is_state(tensors: Mapping[Any, Any]) -> bool:
    """Whether tensors by name are those of a module: a batch of examples has other names."""
    if hasattr(tensors, "_metadata"):  # torch puts it there
        return True
    return all(isinstance(name, str) for name in tensors) and any(
        "." in name or name in _ENDINGS for name in tensors
    )


def _checkpoint(load: Load, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A distributed checkpoint is a directory; each rank reads a part of its files."""
    given = kwargs.get("checkpoint_id") or getattr(kwargs.get("storage_reader"), "path", None)
    if not isinstance(given, (str, os.PathLike)):
        return
    load.requested = load.requested or os.fsdecode(given)
    for path in sorted(Path(given).iterdir()):
        load.reads(path)
    state = args[0] if args else kwargs.get("state_dict")
    tensors = _tensors(state)
    if tensors is not None:
        load.facts |= tensor_facts(tensors)


def _hub(load: Load, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    entry = args[1] if len(args) > 1 else kwargs.get("model")
    load.facts |= known(entry=entry, source=kwargs.get("source"))


def _made(load: Load, result: Any) -> None:
    """What the entry point of a repository made: mostly a module."""
    import torch

    if isinstance(result, torch.nn.Module):
        _module(load, result)


TARGETS: Final = (
    Target(
        "torch.serialization",
        "load",
        LoadCall("weights", "torch.load", "f", end=_loaded, file=True),
    ),
    Target(
        "torch.jit._serialization",
        "load",
        LoadCall("model", "torch.jit.load", "f", end=_module, file=True),
    ),
    Target(
        "torch.distributed.checkpoint.state_dict_loader",
        "load",
        LoadCall("weights", "torch.distributed.checkpoint.load", "state_dict", begin=_checkpoint),
    ),
    Target(
        "torch.hub",
        "load",
        LoadCall("model", "torch.hub.load", "repo_or_dir", begin=_hub, end=_made),
    ),
)
