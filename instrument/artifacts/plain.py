"""Values that need no library: JSON-like ones, text and bytes, and pickle for those who ask."""

from pathlib import Path
from typing import Any

import msgspec

from instrument.canonical import json_bytes
from instrument.errors import UsageError


def write_json(value: Any, path: Path) -> None:
    """Canonical JSON, in which NaN and the infinities stand as Python's `json` has them.

    Without those the file's digest is `instrument.canonical.digest` of the value.
    """
    try:
        data = json_bytes(value)
    except UsageError as error:
        reason = str(error).partition(";")[0]
        raise UsageError(
            f"a value of type {_name(type(value))} cannot be serialised: {reason}; save it "
            "yourself and pass file_path=, register_serialiser() its type, or pass pickle=True"
        ) from None
    path.write_bytes(data)


def read_json(path: Path) -> Any:
    """Plain values: tuples and arrays come back as lists, sets as sorted lists, keys as texts."""
    data = path.read_bytes()
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:  # there is a NaN, or it is damaged
        import json

        return json.loads(data)


def write_text(value: str, path: Path) -> None:
    """UTF-8, line ends as they are."""
    try:
        path.write_bytes(value.encode())
    except UnicodeEncodeError as error:
        raise UsageError(f"the text has no UTF-8 form: {error}; log it as bytes") from None


def read_text(path: Path) -> str:
    """The text."""
    return path.read_bytes().decode()


def write_bytes(value: bytes | bytearray | memoryview, path: Path) -> None:
    """The bytes."""
    path.write_bytes(value)


def read_bytes(path: Path) -> bytes:
    """The bytes."""
    return path.read_bytes()


def write_pickle(value: Any, path: Path) -> None:
    """A pickle; two pickles of equal values may differ."""
    import pickle

    try:
        with path.open("wb") as file:
            pickle.dump(value, file, protocol=5)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise UsageError(
            f"a {type(value).__name__} cannot be pickled: {error}; save it yourself and pass "
            "file_path=, or register a serialiser"
        ) from None


def read_pickle(path: Path) -> Any:
    """The value. A pickle runs code when it is loaded: the caller has asked whether it may."""
    import pickle

    with path.open("rb") as file:
        return pickle.load(file)  # noqa: S301 - only reached with allow_pickle=True


def _name(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"
