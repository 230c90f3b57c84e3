"""The files of a journal: their names, the next one of a writer, and the space set aside for it."""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from instrument.records import ProcessStarted
from instrument_local.files import NEW_FILE, Disk
from instrument_local.layout import Layout

RESERVE_BYTES: Final = 64 * 1024
MAX_SEGMENTS: Final = 10_000
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")


def writer_name(process: ProcessStarted) -> str:
    """``<attempt>-<rank>-<host>-<pid>``, safe as the name of a file."""
    host = _UNSAFE.sub("_", process.host)[:64]
    return f"{process.attempt}-{process.rank}-{host}-{process.pid}"


def open_next(layout: Layout, directory: Path, writer: str, segments: int) -> tuple[int, Path]:
    """A file that nobody else writes to, under a name that no packed one has.

    Args:
        layout: Where the store keeps things.
        directory: Of the run.
        writer: Name of the first of its files; the others have a number too.
        segments: How many files it has.

    Raises:
        OSError: The file cannot be made, or no name is left.
    """
    packed = layout.packs.names_of(directory.name)
    for number in range(segments, MAX_SEGMENTS):
        path = directory / f"{writer}{f'-{number}' if number else ''}.jsonl"
        if path.name in packed:
            continue
        with suppress(FileExistsError):
            return layout.files.disk.open(path, NEW_FILE, 0o600), path
    raise OSError(f"no name is left for a journal in {directory}")


def reopen_run(layout: Layout, directory: Path) -> None:
    """Leave a name beside `directory` if its run was sealed: an index looks at it again then."""
    seals = layout.run_files(directory.name).seals
    if seals:
        disk, fact = layout.files.disk, directory.with_name(f"{directory.name}.{len(seals)}")
        with suppress(FileExistsError):
            disk.close(disk.open(fact, NEW_FILE, 0o600))


def set_space_aside(disk: Disk, path: Path) -> None:
    """Make the file `path` of `RESERVE_BYTES`.

    Raises:
        OSError: There is no such space, or the file system cannot promise it.
    """
    fd = disk.open(path, NEW_FILE, 0o600)
    try:
        os.posix_fallocate(fd, 0, RESERVE_BYTES)
    finally:
        disk.close(fd)
