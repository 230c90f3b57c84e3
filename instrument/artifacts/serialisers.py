"""Which serialiser writes a value, and which one reads it back.

A type is found by its dotted name among the bases of the value's class, so nothing is imported to
look. What the user registers comes before our own.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from instrument.artifacts import arrays, frames, plain, tensors
from instrument.artifacts.structure import holds, is_tensor
from instrument.errors import UsageError
from instrument.own_reads import own_read


class Serialiser(NamedTuple):
    """How one kind of value becomes a file.

    Attributes:
        format: Name by which the artifact version remembers it.
        suffix: Suffix of the file, with its dot.
        write: Writes a value to a path that does not exist yet. Equal values give equal bytes.
        read: Inverse of `write`.
    """

    format: str
    suffix: str
    write: Callable[[Any, Path], None]
    read: Callable[[Path], Any]


PICKLE: Final = Serialiser("pickle", ".pkl", plain.write_pickle, plain.read_pickle)
_JSON = Serialiser("json", ".json", plain.write_json, plain.read_json)
_TEXT = Serialiser("text", ".txt", plain.write_text, plain.read_text)
_BYTES = Serialiser("bytes", ".bin", plain.write_bytes, plain.read_bytes)
_TENSORS = Serialiser("safetensors", ".safetensors", tensors.write, tensors.read)
_NPY = Serialiser("npy", ".npy", arrays.write_npy, arrays.read_npy)
_NPZ = Serialiser("npz", ".npz", arrays.write_npz, arrays.read_npz)
_PARQUET = Serialiser("parquet", ".parquet", frames.write, frames.read)

_FORMATS: Final = {
    serialiser.format: serialiser._replace(read=own_read()(serialiser.read))
    for serialiser in (PICKLE, _JSON, _TEXT, _BYTES, _TENSORS, _NPY, _NPZ, _PARQUET)
}
_TYPES: Final = {
    "builtins.str": _TEXT,
    "builtins.bytes": _BYTES,
    "builtins.bytearray": _BYTES,
    "builtins.memoryview": _BYTES,
    "numpy.ndarray": _NPY,
    "torch.Tensor": _TENSORS,
    "torch.nn.modules.module.Module": _TENSORS,
    "pandas.DataFrame": _PARQUET,
    "pandas.core.frame.DataFrame": _PARQUET,
    "pandas.Series": _PARQUET,
    "pandas.core.series.Series": _PARQUET,
    "pyarrow.lib.RecordBatch": _PARQUET,
    "pyarrow.lib.Table": _PARQUET,
    "polars.dataframe.frame.DataFrame": _PARQUET,
}
_registered: dict[str, Serialiser] = {}


def register_serialiser(
    type: "type | str",  # noqa: A002 - the word for it
    *,
    suffix: str,
    write: Callable[[Any, Path], None],
    read: Callable[[Path], Any],
) -> None:
    """Say how values of a type, and of classes derived from it, become files.

    Registering a type again replaces what was said before.

    Args:
        type: A class, or its dotted name (``package.module.Class``) where importing it is
            not wanted. The dotted name is the artifact's `format`: a program that loads the
            artifact registers the type under the same name.
        suffix: Suffix of the file, such as ``.onnx``.
        write: Called with the value and the path of a file to make.
        read: Called with the path of the file; returns the value.

    Raises:
        UsageError: `suffix` is none, or `type` is one that this package serialises itself.
    """
    name = type if isinstance(type, str) else _dotted(type)
    if not suffix.startswith(".") or "/" in suffix:
        raise UsageError(f"{suffix!r} is no suffix; give one such as '.bin'")
    if name in _TYPES or name in _FORMATS:
        raise UsageError(f"{name} has a serialiser already; register a class of your own")
    _registered[name] = Serialiser(name, suffix, write, read)


def serialiser_for(value: Any) -> Serialiser:
    """The serialiser for the type of `value`: the last resort is JSON, which may refuse it."""
    names = [_dotted(base) for base in type(value).__mro__]
    for table in (_registered, _TYPES):
        for name in names:
            if name in table:
                return table[name]
    if isinstance(value, (Mapping, list, tuple)):
        if holds(value, lambda part: is_tensor(part) and part.ndim > 0):
            return _TENSORS
        if _is_dict_of_arrays(value):
            return _NPZ
    return _JSON


def serialiser_named(format: str) -> Serialiser:  # noqa: A002 - the field's name
    """The serialiser that wrote an artifact of `format`.

    Raises:
        UsageError: It is the user's own and not registered here.
    """
    found = _FORMATS.get(format) or _registered.get(format)
    if found is None:
        raise UsageError(
            f"format {format!r} is not known here; call register_serialiser({format!r}, …) first, "
            "or read the file at .path() yourself"
        )
    return found


def _is_dict_of_arrays(value: Any) -> bool:
    array = getattr(sys.modules.get("numpy"), "ndarray", ())
    return (
        isinstance(value, Mapping)
        and all(isinstance(name, str) and isinstance(item, array) for name, item in value.items())
        and bool(value)
    )


def _dotted(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
