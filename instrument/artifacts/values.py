"""Values as files: written by what they are, then stored."""

import tempfile
from pathlib import Path
from typing import Any

import msgspec

from instrument.artifacts.serialisers import PICKLE, Serialiser, serialiser_for
from instrument.errors import UsageError
from instrument.protocols import Store
from instrument.vocabulary import File


def put_value(store: Store, name: str, value: Any, *, pickle: bool) -> tuple[File, str]:
    """Store `value` as a file, by what it is; the file, and the format it is in.

    Args:
        store: Where it goes.
        name: Name of the file, without its suffix.
        value: The value.
        pickle: Take pickle for a value that has no other form.

    Raises:
        UsageError: It has no form.
        MissingDependencyError: The library that writes it is not installed.
        StoreError: It could not be stored.
    """
    with tempfile.TemporaryDirectory(prefix="instrument-") as scratch:
        serialiser, path = _write(value, Path(scratch, name), pickle=pickle)
        file = msgspec.structs.replace(store.put_file(path), path=path.name)
    return file, serialiser.format


def _write(value: Any, stem: Path, *, pickle: bool) -> tuple[Serialiser, Path]:
    """Write `value` to `stem` with its serialiser's suffix."""
    serialiser = serialiser_for(value)
    path = stem.with_name(stem.name + serialiser.suffix)
    try:
        serialiser.write(value, path)
    except UsageError:
        if not pickle:
            raise
        serialiser, path = PICKLE, stem.with_name(stem.name + PICKLE.suffix)
        serialiser.write(value, path)
    if not path.is_file():
        raise UsageError(f"the serialiser of {serialiser.format} wrote no file {path.name}")
    return serialiser, path
