"""One value, one sequence of bytes, one digest.

Canonical JSON: UTF-8, keys sorted by code point, no white space, NaN and the infinities as the
strings ``"NaN"``, ``"Infinity"``, ``"-Infinity"`` (JSON has no such numbers). Equal values give
equal bytes whatever the order of their keys, so that a digest names a value.

    >>> canonical_bytes({"b": 1, "a": float("nan")})
    b'{"a":"NaN","b":1}'
    >>> digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    True
"""

import datetime
import enum
import hashlib
import math
import os
import struct
from collections.abc import Callable, Mapping, Sequence, Set as AbstractSet
from typing import Any, Final, NamedTuple

import msgspec

from instrument.errors import UsageError

ALGORITHM: Final = "sha256"
MAX_DEPTH: Final = 64
_BYTES: Final = (bytes, bytearray, memoryview)
# How a float of fewer bits is packed, and how many digits tell any two of them apart.
_SHORT_FLOATS: Final = {"float32": ("f", 9), "float16": ("e", 5)}

_encoder = msgspec.json.Encoder(order="deterministic")


class _Ways(NamedTuple):
    """How a part without a plain form is written, and how a float is."""

    fallback: Any
    number: Callable[[float], float | str]


def canonical_bytes(value: object) -> bytes:
    """Canonical JSON of `value`, without a final newline.

    Raises:
        UsageError: A part of `value` has no JSON form, or it nests deeper than `MAX_DEPTH`.
    """
    try:
        return _encoder.encode(to_plain(value))
    except UnicodeEncodeError as error:
        raise UsageError(f"a text has no UTF-8 form: {error}") from None


def digest(value: object) -> str:
    """Digest of the canonical bytes of `value`, as ``sha256:<64 hex>``."""
    return digest_of_bytes(canonical_bytes(value))


def digest_of_bytes(data: bytes | memoryview) -> str:
    """Digest of `data`, as ``sha256:<64 hex>``."""
    return f"{ALGORITHM}:{hashlib.sha256(data).hexdigest()}"


def json_bytes(value: object) -> bytes:
    """`canonical_bytes`, but NaN and the infinities stay numbers.

    They stand as Python's `json` writes and reads them: ``NaN``, ``Infinity``, ``-Infinity``.
    Without one the bytes are the canonical ones.

    Raises:
        UsageError: As `canonical_bytes`.
    """
    odd: list[float] = []

    def number(value: float) -> float:
        if not math.isfinite(value):
            odd.append(value)
        return value

    plain = _plain(value, _Ways(None, number), "value", 0)
    try:
        if not odd:
            return _encoder.encode(plain)
        import json

        return json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"a text has no UTF-8 form: {error}") from None


def to_plain(value: object, *, fallback: Any = None) -> Any:
    """`value` as dicts, lists, strings, numbers, booleans and None.

    Understands dataclasses, msgspec structs, pydantic models, enums, paths, dates, sets (sorted),
    numpy and torch scalars and small arrays, and any mapping or sequence.

    Args:
        value: What to convert.
        fallback: Called with a part that has no plain form; what it returns stands in for it.
            Without one such a part is an error.

    Raises:
        UsageError: A part has no plain form, or `value` nests deeper than `MAX_DEPTH`.
    """
    return _plain(value, _Ways(fallback, plain_float), "value", 0)


def _plain(value: Any, ways: _Ways, path: str, depth: int) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value.value if isinstance(value, enum.Enum) else value
    if isinstance(value, enum.Enum):
        return _plain(value.value, ways, path, depth)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return ways.number(float(value))
    if depth > MAX_DEPTH:
        raise UsageError(f"{path[:80]} nests deeper than {MAX_DEPTH} levels; flatten it")
    if isinstance(value, Mapping):
        return _plain_mapping(value, ways, path, depth)
    if isinstance(value, (AbstractSet, Sequence)) and not isinstance(
        value, (bytes, bytearray, memoryview)
    ):
        items = [
            _plain(item, ways, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)
        ]
        return sorted(items, key=_encoder.encode) if isinstance(value, AbstractSet) else items
    return _plain_object(value, ways, path, depth)


def _plain_mapping(value: Mapping[Any, Any], ways: _Ways, path: str, depth: int) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, item in value.items():
        name = _key(key)
        if name in plain:
            raise UsageError(f"{path[:80]} has two keys that JSON writes as {name!r:.80}")
        plain[name] = _plain(item, ways, f"{path}.{name}", depth + 1)
    return plain


def _plain_object(value: Any, ways: _Ways, path: str, depth: int) -> Any:
    """The plain form of an object that is not of a basic type."""
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if is_dataclass(value):
        return _plain(dataclass_fields(value), ways, path, depth)
    if isinstance(value, msgspec.Struct):
        return _plain(msgspec.structs.asdict(value), ways, path, depth)
    for method in ("model_dump", "tolist", "item"):  # pydantic; numpy and torch; other scalars
        convert = getattr(type(value), method, None)
        if convert is not None:
            return _plain(shortest(convert(value), bits_of(value)), ways, path, depth + 1)
    if ways.fallback is not None:
        return ways.fallback(value)
    raise UsageError(
        f"{path[:80]} is a {type(value).__name__}, which has no JSON form; "
        "pass a dict, a dataclass or a number, or log it as an artifact"
    )


def _key(key: object) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if isinstance(key, str):
        return key
    if isinstance(key, bool) or key is None:
        return {True: "true", False: "false", None: "null"}[key]
    if isinstance(key, (int, float)):
        return str(key)
    raise UsageError(f"a {type(key).__name__} cannot be a JSON key; use a string")


def bits_of(value: object) -> str:
    """The type of the number or array `value` as numpy names it, ``float32``; else nothing."""
    return str(getattr(value, "dtype", "")).removeprefix("torch.")


def shortest(value: Any, kind: str) -> Any:
    """The shortest decimal that is `value` among the floats of `kind`; of each one in a list."""
    if kind not in _SHORT_FLOATS:
        return value
    if isinstance(value, list):
        return [shortest(item, kind) for item in value]
    form, digits = _SHORT_FLOATS[kind]
    exact = struct.pack(form, value)
    for precision in range(1, digits + 1):
        short = float(f"{value:.{precision}g}")
        try:
            if struct.pack(form, short) == exact:
                return short
        except OverflowError:  # rounded up beyond the largest one
            continue
    return value


def is_dataclass(value: object) -> bool:
    """Whether `value` is an instance of a dataclass."""
    return hasattr(type(value), "__dataclass_fields__")


def dataclass_fields(value: Any) -> dict[str, Any]:
    """Fields of a dataclass instance by name; one that was deleted is None."""
    import dataclasses  # with `inspect` it costs 5 ms; whoever has one has paid

    return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}


def plain_float(value: float) -> float | str:
    """`value`, or its name where JSON has no number for it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def float_from_plain(value: float | str) -> float:
    """Inverse of `plain_float`."""
    return float(value)
