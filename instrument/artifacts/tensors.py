"""Torch values as safetensors: modules (their state), tensors, and dicts and lists that hold them.

A flat dict of tensors becomes a plain safetensors file. What such a file cannot say by itself
stands as JSON under the one metadata key ``instrument`` (one key: the library writes several in
random order): the class of a module, names that share one tensor (tied weights are stored once),
and the structure around the tensors, as of a checkpoint with an optimizer's state.
"""

import itertools
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from instrument.artifacts.structure import put_together, take_apart, uncompiled
from instrument.errors import MissingDependencyError, UsageError

if TYPE_CHECKING:
    import torch

KEY: Final = "instrument"


class About(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What the file says beside its tensors.

    Attributes:
        class_name: ``module.qualname`` of the module whose state this is.
        same_as: For a name that shares all of another's tensor, that other name.
        structure: What is around the tensors (`instrument.artifacts.structure`); None for a flat
            dict.
    """

    class_name: str | None = None
    same_as: dict[str, str] = {}
    structure: Any = None


def write(value: Any, path: Path) -> None:
    """Write `value` in one file.

    Raises:
        UsageError: It holds something that is neither a tensor nor JSON-like, or a tensor that has
            no safetensors form (sparse, quantised, on the meta device).
    """
    torch_file = _library()
    class_name = None
    if hasattr(value, "state_dict"):
        cls = type(uncompiled(value))
        class_name = f"{cls.__module__}.{cls.__qualname__}"
        value = state_of(value)
    structure, tensors = take_apart(value)
    tensors = {name: _plain(name, tensor) for name, tensor in tensors.items()}
    same_as = _shared(tensors)
    about = About(class_name=class_name, same_as=same_as, structure=structure)
    metadata = {KEY: msgspec.json.encode(about).decode()}
    kept = {name: tensor for name, tensor in tensors.items() if name not in same_as}
    try:
        torch_file.save_file(_separate(kept), path, metadata)
    except (ValueError, KeyError, RuntimeError, NotImplementedError) as error:
        raise UsageError(
            f"a {type(value).__name__} has no safetensors form: {_first_line(error)}; make its "
            "tensors plain and dense, or save it yourself and pass file_path="
        ) from None


def read(path: Path) -> Any:
    """The tensors, on the CPU, in the structure they were given in."""
    torch_file = _library()
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    about = msgspec.json.decode(metadata.get(KEY, "{}"), type=About)
    tensors = torch_file.load_file(path)
    tensors |= {name: tensors[other] for name, other in about.same_as.items()}
    return put_together(about.structure, tensors)


def _library() -> Any:
    try:
        import safetensors.torch
    except ImportError as error:
        raise MissingDependencyError(
            f"torch values are stored with safetensors, which cannot be imported ({error}); "
            "pip install 'instrument-ml[torch]'"
        ) from None
    return safetensors.torch


def state_of(module: Any) -> dict[str, Any]:
    """The state dict, under the names of the module and parts that ``torch.compile`` wraps."""
    state: dict[str, Any] = module.state_dict()
    if not any("_orig_mod" in name for name in state):
        return state
    wrapped = {
        f"{name}._orig_mod".removeprefix(".")
        for name, part in module.named_modules(remove_duplicate=False)
        if uncompiled(part) is not part
    }
    return {_unwrapped(name, wrapped): value for name, value in state.items()}


def _unwrapped(name: str, wrapped: set[str]) -> str:
    """`name` without the steps into modules that are `wrapped`."""
    steps = name.split(".")
    paths = itertools.accumulate(steps, "{}.{}".format)
    return ".".join(step for step, path in zip(steps, paths, strict=True) if path not in wrapped)


def _plain(name: str, tensor: "torch.Tensor") -> "torch.Tensor":
    """`tensor` without gradient and without pending conjugation or negation; nothing is copied."""
    if tensor.is_meta or tensor.is_quantized or str(tensor.layout) != "torch.strided":
        what = (
            "on the meta device" if tensor.is_meta else "quantised" if tensor.is_quantized else ""
        )
        raise UsageError(
            f"tensor {name[:80]!r} is {what or 'sparse'} and has no safetensors form; make it "
            "plain and dense, or save it yourself and pass file_path="
        )
    return tensor.detach().resolve_conj().resolve_neg()


def _shared(tensors: "dict[str, torch.Tensor]") -> dict[str, str]:
    """Names that are the same view of the same memory as another name (the first by spelling)."""
    first: dict[Any, str] = {}
    same_as = {}
    for name in sorted(tensor for tensor in tensors if tensors[tensor].numel()):
        tensor = tensors[name]
        view = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if first.setdefault(view, name) != name:
            same_as[name] = first[view]
    return same_as


def _separate(tensors: "dict[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
    """The tensors, each contiguous and in memory of its own; copied only where they are not."""
    import torch

    memories = {
        name: (tensor.device, tensor.untyped_storage().data_ptr())
        for name, tensor in tensors.items()
    }
    owners = Counter(memories.values())
    return {
        name: tensor.contiguous()
        if owners[memories[name]] == 1
        else tensor.clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
