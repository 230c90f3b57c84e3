"""What dead processes left: unfinished files, markers of dead runs, names beside deleted ones."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from instrument.errors import InstrumentError
from instrument.protocols.upkeep import Scope
from instrument_local.layout import Layout
from instrument_local.liveness import RESERVE, Markers, server_time
from instrument_local.summaries import Summaries


def abandoned_files(layout: Layout, markers: Markers, scope: Scope) -> dict[str, int]:
    """Those that are old enough to go, relative to the store, with their lengths."""
    newest = server_time(layout) - scope.grace_seconds
    alive = markers.alive_run_ids()
    found = {}
    for path in (*_files(layout.root / "tmp"), *_files(layout.open), *_names_of_deleted(layout)):
        try:
            status = path.lstat()
        except FileNotFoundError:  # ended in order
            continue
        if path.parent == layout.open and path.name.partition("~")[0] in alive:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_mtime <= newest:
            found[layout.relative(path)] = status.st_size
    return dict(sorted(found.items()))


def clear(layout: Layout, summaries: Summaries, paths: tuple[str, ...]) -> None:
    """Remove what `abandoned_files` found; a run that died is sealed first, as it is."""
    disk = layout.files.disk
    for path in paths:
        file = layout.root / path
        if file.parent == layout.open and file.suffix != RESERVE:
            with suppress(InstrumentError):
                summaries.seal(file.name.partition("~")[0])
        with suppress(FileNotFoundError):
            disk.unlink(file)


def _names_of_deleted(layout: Layout) -> list[Path]:
    """Names beside runs that are not there: a deletion was cut off before it removed them."""
    names = [path for month in layout.months() for path in _files(month) if "." in path.name]
    there = set(layout.run_ids()) if names else set()
    return [path for path in names if path.name.partition(".")[0] not in there]


def _files(directory: Path) -> list[Path]:
    try:
        return [directory / name for name in os.listdir(directory)]  # noqa: PTH208 - names are enough
    except (FileNotFoundError, NotADirectoryError):
        return []
