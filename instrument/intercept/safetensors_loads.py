"""Loads of safetensors files: alone, or as the weights of a model that is being loaded."""

from collections.abc import Callable
from typing import Any, Final

from instrument.intercept.loads import Load, current_load, load_of
from instrument.intercept.patching import Target


def _asked(load: Load, arguments: Any) -> None:
    args, kwargs = arguments
    load.reads(args[0] if args else kwargs.get("filename"))


def tensor_facts(load: Load, tensors: Any) -> None:
    """How many tensors there are, and how large they are together."""
    load.facts |= {
        "tensors": len(tensors),
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "dtypes": sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}),
    }


def _opened(load: Load, opened: Any) -> None:
    load.facts["tensors"] = len(opened.keys())


def _opens(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """``safe_open`` inside a load reads one of its files; alone it is a load."""
    load = current_load()
    if load is None:
        return _open_alone(wrapped, instance, args, kwargs)
    load.reads(args[0] if args else kwargs.get("filename"))
    return wrapped(*args, **kwargs)


_open_alone: Final = load_of("weights", lambda _: "safetensors.safe_open", _asked, _opened)

TARGETS: Final = (
    Target("safetensors", "safe_open", _opens),
    Target(
        "safetensors.torch",
        "load_file",
        load_of("weights", lambda _: "safetensors.torch.load_file", _asked, tensor_facts),
    ),
)
