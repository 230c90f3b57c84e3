"""Loads by ``torch.load``: weights, whole models, and data, told apart by what came out."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from instrument.intercept.loads import Load, current_load, load_of
from instrument.intercept.patching import Target


def _asked(load: Load, arguments: Any) -> None:
    args, kwargs = arguments
    load.reads(args[0] if args else kwargs.get("f"))


def _loaded(load: Load, result: Any) -> None:
    import torch

    if isinstance(result, torch.nn.Module):
        load.kind = "model"
        result = result.state_dict()
    tensors = _tensors(result)
    if tensors is None:
        load.kind = "data"
        return
    load.facts |= {
        "tensors": len(tensors),
        "parameters": sum(tensor.numel() for tensor in tensors),
        "dtypes": sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors}),
    }


def _tensors(value: Any) -> list[Any] | None:
    """The tensors of a state dict, or of the one in a checkpoint; None for anything else."""
    import torch

    if not isinstance(value, Mapping) or not value:
        return None
    if all(isinstance(item, torch.Tensor) for item in value.values()):
        return list(value.values()) if all(isinstance(name, str) for name in value) else None
    for name in ("state_dict", "model_state_dict", "model", "module"):
        inner = _tensors(value.get(name))
        if inner is not None:
            return inner
    return None


def _loads(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """``torch.load`` inside a load reads one of its files; alone it is a load."""
    load = current_load()
    if load is None:
        return _load_alone(wrapped, instance, args, kwargs)
    load.reads(args[0] if args else kwargs.get("f"))
    return wrapped(*args, **kwargs)


_load_alone: Final = load_of("weights", lambda _: "torch.load", _asked, _loaded)

TARGETS: Final = (Target("torch.serialization", "load", _loads),)
