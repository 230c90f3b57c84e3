"""The list of seals that wait for the ledger: a second name for each seal's file.

On the way of every run: nothing is synced here and nothing heavy imported. What does not get onto
the list, or off the list before the machine dies, is found again (`instrument_local.ledger.sweep`).
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from instrument_local.layout import Layout

PENDING: Final = "ledger/pending"
MANY: Final = 256


def note_seal(layout: Layout, seal: Path) -> bool:
    """Put `seal` on the list; whether it got there."""
    directory = layout.root / PENDING
    with suppress(OSError):
        layout.files.have_directory(directory)
        layout.files.disk.link(seal, directory / seal_entry(seal.parent.name, seal.name))
        return True
    return False


def seal_entry(run_id: str, seal: str) -> str:
    """Name under which the file `seal` of a run stands on the list."""
    return f"{run_id}~{seal}"


def is_long(layout: Layout) -> bool:
    """Whether so many wait that somebody should take them in."""
    try:
        return len(os.listdir(layout.root / PENDING)) >= MANY  # noqa: PTH208 - counted, not looked at
    except OSError:
        return False
