"""The files of versions and of aliases: where they lie, what they hold, how they are read."""

from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from instrument.errors import IntegrityError
from instrument.vocabulary import ArtifactVersion
from instrument_local.files import read_file
from instrument_local.stamps import unstamp

T = TypeVar("T")


class AliasFact(msgspec.Struct):
    """Content of an alias file.

    Attributes:
        name: Name of the artifact.
        alias: The alias.
        version: The version it points at from now on.
        highest: The highest version there was.
        at: When, UTC.
        move: The ``move`` of the event that tells of it; None in files of before, and of an import.
    """

    name: str
    alias: str
    version: int
    highest: int
    at: datetime
    move: str | None = None


def version_path(directory: Path, number: int) -> Path:
    """The file of version `number` of the artifact that `directory` holds."""
    return directory / f"v{number}.json"


def fact_path(directory: Path, alias: str, number: int) -> Path:
    """The file of fact `number` about `alias`."""
    return directory / f"{alias}@{number}.json"


def load_version(path: Path) -> ArtifactVersion:
    """The version in the file `path`.

    Raises:
        IntegrityError: The file is damaged.
        OSError: It cannot be read.
    """
    return decode_version(read_file(path), path)


def decode_version(data: bytes, path: Path) -> ArtifactVersion:
    """The version that `data`, for the file `path`, holds. Raises as `load_version`."""
    version = _decode(data, path, ArtifactVersion)
    if path != version_path(path.parent, version.version or 0) or path.parent.name != version.name:
        raise IntegrityError(f"{path} holds {version.ref}; it was moved")
    return version


def load_fact(path: Path) -> AliasFact:
    """The fact in the file `path`. Raises as `load_version`."""
    fact = _decode(read_file(path), path, AliasFact)
    if path.name.rpartition("@")[0] != fact.alias or path.parent.name != fact.name:
        raise IntegrityError(f"{path} holds a fact about {fact.name}:{fact.alias}; it was moved")
    return fact


def _decode(data: bytes, path: Path, kind: type[T]) -> T:
    try:
        unstamp(data)  # its check is right, and becomes a field where the kind has one
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, RecursionError, IntegrityError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{path} is damaged: {error}") from error
