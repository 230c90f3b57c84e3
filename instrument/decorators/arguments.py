"""What a call was given, in a few plain values.

Numbers, strings and short containers stand as they are; large things as their type, length and
shape; values of secret names are removed, and texts lose what looks like a secret. No ``repr``
and no ``len`` of a stranger's object is ever called: they may be slow, raise, or do things.
"""

import enum
import inspect
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from functools import lru_cache
from itertools import islice
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType, SimpleNamespace
from typing import Any, Final

from instrument.canonical import plain_float
from instrument.redaction import (
    MIN_SECRET_LENGTH,
    hide,
    is_secret_name,
    redact_behind_flags,
    redact_text,
    spares,
)

MAX_TEXT: Final = 1000
MAX_ITEMS: Final = 32
MAX_ENTRIES: Final = 200
MAX_DEPTH: Final = 5
MAX_NODES: Final = 1000
_MIN_INTEGER: Final = -(2**63)
_MAX_INTEGER: Final = 2**63 - 1
_FIXED: Final = frozenset({bool, type(None), int, float, str})
_ARRAY_MODULES: Final = frozenset({"numpy", "torch", "jax", "jaxlib", "tensorflow", "cupy"})


class Parameters:
    """The parameters of a function, read once, so that a call is bound without `inspect`.

    Args:
        function: The function; one without a readable signature binds its arguments by position.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._positional: tuple[str, ...] = ()
        self._rest = "args"
        self._hidden = 0
        self._secrets: frozenset[str] = frozenset()
        self._fixed: dict[str, Any] = {}
        self._changeable: dict[str, Any] = {}
        try:
            parameters = inspect.signature(function).parameters.values()
        except Exception:  # a stranger's callable may answer `inspect` with anything
            return
        self._positional = tuple(
            p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        )
        self._rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "args")
        self._hidden = int(self._positional[:1] in (("self",), ("cls",)))
        self._secrets = frozenset(p.name for p in parameters if is_secret_name(p.name))
        defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        for name, default in defaults.items():
            if type(default) in _FIXED:
                self._fixed[name] = self._summary(name, default)
            else:
                self._changeable[name] = default

    def summaries(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments' summaries by name, defaults included, without ``self`` and ``cls``.

        A call that does not fit the function is bound as far as it goes: the function itself says
        what is wrong with it. Never raises.
        """
        found = self._fixed.copy()
        for name, value in self._changeable.items():
            found[name] = self._summary(name, value)
        for name, value in kwargs.items():
            is_secret = is_secret_name(name) and not spares(name, value)
            found[name] = hide(value, name) if is_secret else summarise(value)
        names, secrets = self._positional, self._secrets
        if len(args) > len(names):
            found[self._rest] = self._summary(self._rest, args[len(names) :])
            args = args[: len(names)]
        if self._hidden:
            names, args = names[1:], args[1:]
        for index, value in enumerate(args):
            name = names[index]
            is_secret = name in secrets and not spares(name, value)
            found[name] = hide(value, name) if is_secret else summarise(value)
        return found

    def _summary(self, name: str, value: Any) -> Any:
        is_secret = name in self._secrets and not spares(name, value)
        return hide(value, name) if is_secret else summarise(value)


def summarise(value: Any) -> Any:
    """The summary of an argument. Never raises."""
    kind = type(value)
    if kind is int:
        if _MIN_INTEGER <= value <= _MAX_INTEGER:
            return value
    elif kind is bool or value is None:
        return value
    return _Summary().of(value)


def dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`values` with the names of nested mappings joined by dots."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict) and value:
            flat.update(dotted(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def type_name(kind: type) -> str:
    """``module.qualname`` of a class; builtins without their module. Never raises."""
    try:
        name = kind.__qualname__
        return name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"
    except Exception:  # a metaclass can hide even the name
        return "unknown"


class _Summary:
    """Summarises one argument; `MAX_NODES` bounds the work whatever the shape of the value."""

    def __init__(self) -> None:
        self._left = MAX_NODES

    def of(self, value: Any, depth: int = 0) -> Any:
        """The summary of `value`."""
        kind = type(value)
        if kind is bool or value is None:
            return value
        self._left -= 1
        try:
            scalar = _scalar(kind, value)
            if scalar is not None:
                return scalar
            if depth < MAX_DEPTH and self._left > 0:
                return self._compound(kind, value, depth)
            return {"type": type_name(kind)}
        except Exception:  # the value is hostile; its type is all there is to tell
            return {"type": type_name(kind)}

    def _compound(self, kind: type, value: Any, depth: int) -> Any:
        """The summary of what has parts; calls no method that a user's class could override."""
        if issubclass(kind, enum.Enum):
            return self.of(value._value_, depth + 1)
        if issubclass(kind, dict):
            return self._entries(kind, dict.__len__(value), dict.items(value), depth)
        if issubclass(kind, tuple) and hasattr(kind, "_fields"):
            pairs = list(zip(kind._fields, tuple.__iter__(value), strict=False))
            return self._entries(kind, len(pairs), pairs, depth)
        for base in (list, tuple, set, frozenset):
            if issubclass(kind, base):
                return self._items(kind, base.__len__(value), base.__iter__(value), depth)
        fields = _fields(kind, value)
        if fields is not None:
            return self._entries(kind, len(fields), fields.items(), depth)
        if issubclass(kind, Mapping):
            return self._entries(kind, 0, islice(value.items(), MAX_ENTRIES), depth)
        return _opaque(kind, value)

    def _entries(
        self, kind: type, length: int, pairs: Iterable[tuple[Any, Any]], depth: int
    ) -> dict[str, Any]:
        if length > MAX_ENTRIES:
            return {"type": type_name(kind), "len": length}
        summary = {}
        for key, value in pairs:
            name = key if type(key) is str else str(_scalar(type(key), key))
            is_secret = is_secret_name(name) and not spares(name, value)
            summary[_text(name[:MAX_TEXT])] = (
                hide(value, name) if is_secret else self.of(value, depth + 1)
            )
        return summary

    def _items(self, kind: type, length: int, items: Iterable[Any], depth: int) -> Any:
        if length > MAX_ITEMS:
            return {"type": type_name(kind), "len": length}
        if issubclass(kind, (set, frozenset)):
            items = sorted(items)
        return redact_behind_flags([self.of(item, depth + 1) for item in items])


def _scalar(kind: type, value: Any) -> Any:
    """A value without parts in plain form; None if it is of another type."""
    if issubclass(kind, str) and not issubclass(kind, enum.Enum):
        return _text(str.__getitem__(value, slice(None)))
    if issubclass(kind, int) and not issubclass(kind, enum.Enum):
        number = int.__add__(value, 0)
        return number if _MIN_INTEGER <= number <= _MAX_INTEGER else _big(number)
    if issubclass(kind, float):
        return plain_float(float.__add__(value, 0.0))
    if issubclass(kind, PurePath):
        return _text(PurePath.__str__(value))
    if issubclass(kind, date):
        return value.isoformat()
    if issubclass(kind, timedelta):
        return {"seconds": value.total_seconds()}
    return None


def _text(text: str) -> Any:
    if len(text) > MAX_TEXT:
        start = _safe(text[:MAX_TEXT])  # before it is cut: half a secret is not recognised
        return {"type": "str", "len": len(text), "start": start[:100]}
    return text if len(text) < MIN_SECRET_LENGTH and text.isascii() else _safe(text)


@lru_cache(maxsize=1024)
def _safe(text: str) -> str:
    """`text` without secrets, as UTF-8 can hold it; calls mostly repeat what they are given."""
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()  # lone surrogates have no UTF-8
    return redact_text(text)


def _big(number: int) -> Any:
    """An integer that JSON readers would round."""
    bits = number.bit_length()
    return str(number) if bits <= MAX_TEXT else {"type": "int", "bits": bits}


def _fields(kind: type, value: Any) -> dict[str, Any] | None:
    """The fields of a value that is made of named fields; None if it is not."""
    for listing in ("__dataclass_fields__", "__struct_fields__"):
        names = getattr(kind, listing, None)
        if names is not None:
            return {name: object.__getattribute__(value, name) for name in names}
    is_namespace = kind.__name__ == "Namespace" and kind.__module__ == "argparse"
    if is_namespace or issubclass(kind, SimpleNamespace) or hasattr(kind, "__pydantic_fields__"):
        return dict(object.__getattribute__(value, "__dict__"))
    return None


def _opaque(kind: type, value: Any) -> dict[str, Any]:
    """What can be told of a thing from outside."""
    summary: dict[str, Any] = {"type": type_name(kind)}
    if kind in (FunctionType, BuiltinFunctionType, MethodType) or issubclass(kind, type):
        summary["name"] = f"{value.__module__}:{value.__qualname__}"
    elif kind in (bytes, bytearray, range):
        summary["len"] = len(value)
    elif hasattr(kind, "shape"):
        shape = value.shape
        summary["shape"] = [int(size) for size in islice(shape, MAX_ITEMS)]
        dtype = getattr(value, "dtype", None)
        if type(dtype).__module__.partition(".")[0] in _ARRAY_MODULES:
            summary["dtype"] = str(dtype)
    return summary
