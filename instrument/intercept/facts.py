"""What a loaded object says of itself, as JSON has it: bounded, and without secrets."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from instrument.redaction import is_secret_name, redact_text

MAX_TEXT: Final = 2000
_MAX_ITEMS: Final = 200
_MAX_DEPTH: Final = 6


def plain(value: Any, depth: int = _MAX_DEPTH) -> Any:
    """`value` as JSON has it; what is long or deep is cut, what has a secret's name is left out."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return redact_text(value[:MAX_TEXT])
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if depth and isinstance(value, Mapping):
        return {
            str(name)[:MAX_TEXT]: plain(item, depth - 1)
            for name, item in islice(value.items(), _MAX_ITEMS)
            if not is_secret_name(str(name))
        }
    if depth and isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, depth - 1) for item in islice(value, _MAX_ITEMS)]
    return redact_text(str(value)[:MAX_TEXT])


def known(**facts: Any) -> dict[str, Any]:
    """Those of `facts` that are known."""
    return {name: plain(value) for name, value in facts.items() if value is not None}


def digest_of_text(text: str) -> str:
    """SHA-256 of a text that is too long to be a fact itself."""
    return f"sha256:{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()}"


def tensor_facts(tensors: Iterable[Any]) -> dict[str, Any]:
    """How many tensors there are, of which types, and how many numbers they hold together.

    Args:
        tensors: Arrays of torch, numpy or jax.
    """
    found = list(tensors)
    return {
        "tensors": len(found),
        "parameters": sum(math.prod(map(int, tensor.shape)) for tensor in found),
        "dtypes": sorted({str(tensor.dtype).removeprefix("torch.") for tensor in found}),
    }
