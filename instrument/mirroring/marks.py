"""The fact that a run was mirrored completely, or written offline: a small file in the store.

It is written once, as ``mirrors/<mirror>/<run_id>.json``; a run that went on afterwards (a requeued
job) and was mirrored again has a ``<run_id>.2.json`` too, and so on.
"""

import os
from collections.abc import Iterator
from datetime import datetime
from itertools import count
from pathlib import Path

import msgspec

from instrument.canonical import canonical_bytes
from instrument.protocols import Store


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A run was mirrored completely, or completely written to be sent later.

    Attributes:
        run_id: The run.
        mirror: Name of the mirror.
        offline: Whether it was only written, and not sent.
        directory: Where it was written; None when it was sent, or where that is not known.
        records: How many records the run had.
        artifacts: How many artifact versions were among them.
        at: When it was complete, UTC.
    """

    run_id: str
    mirror: str
    offline: bool
    directory: str | None = None
    records: int
    artifacts: int
    at: datetime


def directory_of(store: Store, mirror: str) -> Path | None:
    """Where the marks of `mirror` are; None for a store that has no directory."""
    location = Path(store.location)
    if not location.is_absolute() or not location.is_dir():
        return None
    return location / "mirrors" / mirror


def leave(directory: Path, mark: Mark) -> Path:
    """Write `mark` as a new file, which is durable on return.

    Raises:
        OSError: It could not be written.
    """
    for part in (directory.parent, directory):
        part.mkdir(mode=0o700, exist_ok=True)
    for path in _paths(directory, mark.run_id):
        try:
            with open(path, "xb", opener=private) as file:
                file.write(canonical_bytes(mark) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            continue
        return path
    raise AssertionError  # the names never end


def find(directory: Path, run_id: str) -> Mark | None:
    """The newest mark of a run; one that was cut off by a crash counts as none."""
    newest = None
    for path in _paths(directory, run_id):
        try:
            data = path.read_bytes()
        except OSError:
            return newest
        try:
            newest = msgspec.json.decode(data, type=Mark)
        except msgspec.MsgspecError:
            continue
    return newest


def private(path: str, flags: int) -> int:
    """Opens a file that is its owner's alone; for `open`."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _paths(directory: Path, run_id: str) -> Iterator[Path]:
    yield directory / f"{run_id}.json"
    for number in count(2):
        yield directory / f"{run_id}.{number}.json"
