"""Which store this is, as its ledger tells: asked only where the file FORMAT is missing."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from instrument.errors import InstrumentError
from instrument_local.findings import Findings
from instrument_local.layout import STORE_ID, Layout
from instrument_local.ledger import anchors, checkpoints
from instrument_local.ledger.log import Log
from instrument_local.ledger.notes import Checkpoint
from instrument_local.ledger.tree import Tree, leaf_hash

_NAME: Final = re.compile(rf"({STORE_ID.pattern})\.json")


def told_store_id(layout: Layout) -> str | None:
    """The id that the ledger goes by; None where nothing tells it, or not one alone. Never raises.

    It is what all checkpoints in the store are of. Where there is none, or they differ, it is what
    those are of, in the store or remembered by this user, that hold for the ledger as it is.
    """
    with suppress(InstrumentError, OSError, ValueError):
        kept = [stored.note.checkpoint for stored in checkpoints.load(layout, Findings(layout))]
        return _one(kept) or _one(_holding(layout, [*kept, *_remembered()]))
    return None


def _one(found: Iterable[Checkpoint]) -> str | None:
    """The id that all of `found` are of."""
    ids = {checkpoint.origin for checkpoint in found if STORE_ID.fullmatch(checkpoint.origin)}
    return ids.pop() if len(ids) == 1 else None


def _holding(layout: Layout, candidates: list[Checkpoint]) -> Iterator[Checkpoint]:
    """Those of `candidates` that the ledger begins with, to the last bit."""
    tree = Tree([leaf_hash(line) for lines in Log(layout).read() for line in lines])
    for checkpoint in candidates:
        if 0 < checkpoint.size <= tree.size and tree.root(checkpoint.size) == checkpoint.root:
            yield checkpoint


def _remembered() -> Iterator[Checkpoint]:
    """What this user saw last of each store."""
    directory = anchors.directory()
    for path in sorted(directory.iterdir()) if directory and directory.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        seen = anchors.last_seen(match[1]) if match else None
        if seen is not None:
            yield seen[0]
