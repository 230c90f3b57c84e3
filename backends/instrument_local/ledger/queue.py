"""The list of seals that wait for the ledger: a second name for each seal's file.

On the way of every run: nothing is synced here and nothing heavy imported. What does not get onto
the list, or off the list before the machine dies, is found again (`instrument_local.ledger.sweep`).
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from instrument_local.files import NO_LINK, read_file
from instrument_local.layout import Layout

PENDING: Final = "ledger/pending"
MANY: Final = 256
UNCOUNTED: Final = 16


def note_seal(layout: Layout, seal: Path) -> bool:
    """Put `seal` on the list; whether it got there."""
    entry = layout.root / PENDING / seal_entry(seal.parent.name, seal.name)
    with suppress(OSError):
        layout.files.have_directory(entry.parent)
        try:
            layout.files.disk.link(seal, entry)
        except FileExistsError:
            return True
        except OSError as error:
            if error.errno not in NO_LINK:
                raise
            layout.files.publish(entry, read_file(seal), durable=False)
        return True
    return False


def seal_entry(run_id: str, seal: str) -> str:
    """Name under which the file `seal` of a run stands on the list."""
    return f"{run_id}~{seal}"


def is_long(layout: Layout) -> bool:
    """Whether so many wait that somebody should take them in; asked by who has noted another.

    A process that notes many counts again after some of its own, at most `UNCOUNTED`.
    """
    left = _uncounted.get(layout.root, 0) - 1
    missing = MANY
    if left <= 0:
        missing = MANY - _waiting(layout)
        left = min(missing, UNCOUNTED)
    _uncounted[layout.root] = left
    return missing <= 0


def _waiting(layout: Layout) -> int:
    try:
        return len(os.listdir(layout.root / PENDING))  # noqa: PTH208 - counted, not looked at
    except OSError:
        return 0


_uncounted: Final[dict[Path, int]] = {}
