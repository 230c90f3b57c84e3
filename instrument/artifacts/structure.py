"""Takes a nested value apart into tensors by name and the structure around them, and back.

The structure is JSON in which every object is one tag: ``{"tensor": name}``, ``{"dict": [[key,
value], …]}``, ``{"tuple": […]}``, ``{"float": "NaN"}``. Keys keep their types and tuples stay
tuples, as an optimizer's state needs it.
"""

import math
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

from instrument.canonical import MAX_DEPTH, float_from_plain, plain_float
from instrument.errors import UsageError

if TYPE_CHECKING:
    import torch


def take_apart(value: Any) -> "tuple[Any, dict[str, torch.Tensor]]":
    """The structure of `value`, None for a flat dict, and its tensors by dotted name.

    Raises:
        UsageError: A part is neither a tensor nor a plain value.
    """
    if is_flat(value):
        return None, dict(value)
    tensors: dict[str, torch.Tensor] = {}
    return _apart(value, "", 0, tensors), tensors


def put_together(structure: Any, tensors: "Mapping[str, torch.Tensor]") -> Any:
    """Inverse of `take_apart`."""
    if structure is None:
        return dict(tensors)
    return _together(structure, tensors)


def is_tensor(value: Any) -> bool:
    """Whether `value` is a torch tensor; torch is not imported to find out."""
    return isinstance(value, getattr(sys.modules.get("torch"), "Tensor", ()))


def uncompiled(value: Any) -> Any:
    """`value`, or the module in it if ``torch.compile`` made it; torch is not imported to look."""
    compiled = getattr(sys.modules.get("torch._dynamo.eval_frame"), "OptimizedModule", ())
    while isinstance(value, compiled):
        value = value._orig_mod  # noqa: SLF001 - torch has no public name for it
    return value


def is_flat(value: Any) -> "TypeGuard[Mapping[str, torch.Tensor]]":
    """Whether `value` is a dict of tensors by name."""
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and is_tensor(item) for name, item in value.items()
    )


def holds(value: Any, wanted: Callable[[Any], bool], depth: int = 0) -> bool:
    """Whether `value`, a dict, list or tuple, has a part at any depth that is `wanted`."""
    if depth > MAX_DEPTH:
        return False
    parts = value.values() if isinstance(value, Mapping) else value
    return any(
        holds(part, wanted, depth + 1) if isinstance(part, (Mapping, list, tuple)) else wanted(part)
        for part in parts
    )


def _apart(value: Any, path: str, depth: int, tensors: "dict[str, torch.Tensor]") -> Any:
    if depth > MAX_DEPTH:
        raise UsageError(f"{path[:80]} nests deeper than {MAX_DEPTH} levels; flatten it")
    if is_tensor(value):
        name = path or "tensor"
        while name in tensors:  # {"a.b": …} beside {"a": {"b": …}}
            name += "_"
        tensors[name] = value
        return {"tensor": name}
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": plain_float(value)}
    if isinstance(value, Mapping):
        keys = sorted(value, key=lambda key: (type(key).__name__, _key(key, path)))
        items = ([key, _apart(value[key], _joined(path, key), depth + 1, tensors)] for key in keys)
        return {"dict": list(items)}
    if isinstance(value, (list, tuple)):
        parts = [
            _apart(item, _joined(path, index), depth + 1, tensors)
            for index, item in enumerate(value)
        ]
        return {"tuple": parts} if isinstance(value, tuple) else parts
    if type(value).__module__ == "numpy" and not getattr(value, "ndim", 1):
        return _apart(value.item(), path, depth + 1, tensors)
    raise UsageError(
        f"{path[:80]} is a {type(value).__name__}, which cannot stand beside tensors; take it out, "
        "save the whole yourself and pass file_path=, or pass pickle=True"
    )


def _together(structure: Any, tensors: "Mapping[str, torch.Tensor]") -> Any:
    if isinstance(structure, list):
        return [_together(item, tensors) for item in structure]
    if not isinstance(structure, dict):
        return structure
    ((tag, content),) = structure.items()
    match tag:
        case "tensor":
            return tensors[content]
        case "dict":
            return {key: _together(item, tensors) for key, item in content}
        case "tuple":
            return tuple(_together(item, tensors) for item in content)
        case _:
            return float_from_plain(content)


def _key(key: Any, path: str) -> str | int | bool:
    if isinstance(key, (str, int)):
        return key
    raise UsageError(f"{path[:80] or 'the value'} has a key of type {type(key).__name__}")


def _joined(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)
