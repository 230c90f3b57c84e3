"""Versions that no run's seal covers: made without a run, or brought by an import.

The file of such a version says ``in_ledger``, and an event has its check. The event comes after the
file and stops nothing: what a crash or an unwritable ledger kept out is entered later, as late.
What a run leaves that is deleted has such an event, too (`instrument_local.upkeep.left_versions`).
"""

import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from instrument.errors import IntegrityError
from instrument_local.files import READ
from instrument_local.layout import Layout
from instrument_local.ledger import pending
from instrument_local.version_files import load_version, version_path
from instrument_local.versions import LocalVersions

_PREFIX: Final = b'{"event":"versions_made"'
_MARKED: Final = re.compile(rb'\{"version":[0-9]+,"in_ledger":true,')
_HEAD_BYTES: Final = 64


class _Made(msgspec.Struct):
    """What tells which versions an entry is about."""

    versions: dict[str, str]


def unnoted(layout: Layout, known: Collection[str]) -> dict[str, str]:
    """The checks of the versions that are neither `known` to the ledger nor on its list."""
    found = dict(_marked(layout, known))
    if found:
        for event in pending.waiting(pending.paths(layout)):
            for ref in refs_in(event.line):
                found.pop(ref, None)
    return found


def refs_in(line: bytes) -> Collection[str]:
    """The versions whose making the entry `line` tells of; none if it tells something else."""
    if line.startswith(_PREFIX):
        with suppress(msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return msgspec.json.decode(line, type=_Made).versions
    return ()


def _marked(layout: Layout, known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Versions that are to be in the ledger and not `known`; the damaged ones `verify` tells."""
    versions = LocalVersions(layout)
    for name in versions.names():
        for number in versions.listing(name).versions:
            ref, path = f"{name}:v{number}", version_path(layout.artifacts / name, number)
            with suppress(OSError, IntegrityError):
                if ref not in known and _is_marked(path):
                    yield ref, str(load_version(path).check)


def _is_marked(path: Path) -> bool:
    fd = os.open(path, READ)
    try:
        return _MARKED.match(os.read(fd, _HEAD_BYTES)) is not None
    finally:
        os.close(fd)
