"""Reads by numpy, on request: programs read arrays of all kinds, most of them no data set."""

from collections.abc import Mapping
from typing import Any, Final

from instrument.intercept.loads import Load
from instrument.intercept.reads import columns, read_of, readers
from instrument.intercept.targets import Target


def _read(load: Load, result: Any) -> None:
    """Rows and type of an array; of an archive only the names: its arrays are read when used."""
    if isinstance(result, Mapping):
        load.facts |= {"arrays": [str(name) for name in result], "lazy": True}
    elif hasattr(result, "dtype"):
        load.rows = len(result) if result.shape else None
        load.schema = columns([("", result.dtype)])
        load.facts["shape"] = list(result.shape)


TARGETS: Final = (
    *readers(
        "numpy",
        _read,
        {"load": "file", "fromfile": "file", "loadtxt": "fname", "genfromtxt": "fname"},
    ),
    Target("numpy", "memmap.__new__", read_of("numpy.memmap", "filename", _read, position=1)),
)
