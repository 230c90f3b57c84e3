"""Numpy arrays as ``.npy``, dicts of arrays as ``.npz``; neither ever holds pickles.

Equal arrays give equal bytes however they lie in memory: all are written in C order, the members
of a zip sorted and without times.
"""

import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from instrument.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np


def write_npy(array: "np.ndarray[Any, Any]", path: Path) -> None:
    """One array."""
    with path.open("wb") as file:
        _write(array, file)


def read_npy(path: Path) -> "np.ndarray[Any, Any]":
    """The array."""
    import numpy as np

    loaded: np.ndarray[Any, Any] = np.load(path, allow_pickle=False)
    return loaded


def write_npz(arrays: "Mapping[str, np.ndarray[Any, Any]]", path: Path) -> None:
    """A zip with one ``.npy`` for each array, not compressed, as `numpy.savez` writes it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            # An entry made from a name alone carries the zip epoch, not the time of writing.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                _write(arrays[name], file)


def read_npz(path: Path) -> "dict[str, np.ndarray[Any, Any]]":
    """The arrays by name."""
    import numpy as np

    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
            arrays[name.removesuffix(".npy")] = array
    return arrays


def _write(array: "np.ndarray[Any, Any]", file: IO[bytes]) -> None:
    import numpy as np

    if array.dtype.hasobject or isinstance(array, np.ma.MaskedArray):
        what = "with a mask" if isinstance(array, np.ma.MaskedArray) else "of objects"
        raise UsageError(
            f"an array {what} has no npy form; convert it to plain arrays, save it yourself and "
            "pass file_path=, or pass pickle=True"
        )
    if not array.flags.c_contiguous and array.flags.f_contiguous:
        array = np.ascontiguousarray(array)
    np.lib.format.write_array(file, array, allow_pickle=False)
