"""Takes the events that wait into the ledger, under the maintenance lock.

For each block of entries: the entries, then the head that covers them, then their events go from
the list. A crash in between leaves events whose entries are there already; they can only stand in
the last block, so that a look there tells. Nothing is entered twice, nothing is lost.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from instrument.audit import AliasMoved, GapFound, decode_event
from instrument.errors import IntegrityError
from instrument_local.files import store_errors
from instrument_local.imported import Origins
from instrument_local.layout import Layout
from instrument_local.ledger import pending
from instrument_local.ledger.log import WIDTH, Log
from instrument_local.ledger.made import refs_in, unnoted
from instrument_local.ledger.queue import PENDING, note_seal, seal_entry
from instrument_local.ledger.tree import Range, leaf_hash
from instrument_local.maintenance import Maintenance
from instrument_local.run_files import RunFile
from instrument_local.versions import LocalVersions

_PREFIX: Final = b'{"event":"run_sealed"'
_MOMENT_SECONDS: Final = 0.05
_MOST_RUNS: Final = 1000


class _Sealed(msgspec.Struct):
    """What tells one seal from another."""

    run_id: str
    seal: str


_decode_sealed: Final = msgspec.json.Decoder(_Sealed).decode


def integrate(layout: Layout, held: Maintenance, *, at_most: int | None = None) -> int:
    """Take in what waits.

    Args:
        layout: The store.
        held: The lock.
        at_most: Look at so many at once; None for all.

    Returns:
        How many entries were added.

    Raises:
        StoreError: It could not be written; what was not taken in still waits.
        IntegrityError: The ledger is damaged, and is not added to before somebody has looked.
    """
    with store_errors("write the ledger"):
        held.check()
        log = Log(layout)
        tree = _finish(layout, log)
        new = sorted(pending.waiting(pending.paths(layout)[:at_most]))
        if new:  # what explains the entries is on the disk before them
            layout.files.sync_directory(layout.root / PENDING)
            _finish_moves(layout, new)
        size = tree.size
        while new:
            batch, new = new[: WIDTH - size % WIDTH], new[WIDTH - size % WIDTH :]
            held.check()
            size = log.append([event.line for event in batch]).size
            _drop(layout, [event.path for event in batch])
        return size - tree.size


def _finish_moves(layout: Layout, events: Iterable[pending.Waiting]) -> None:
    """Do what was noted and not done, since a crash came in between."""
    for waiting in events:
        if waiting.line.startswith(pending.MOVE_PREFIX):
            event = decode_event(waiting.line)
            if isinstance(event, AliasMoved) and event.move is not None:
                LocalVersions(layout).finish(event)


class _Unnoted(NamedTuple):
    """A seal that stands neither on the list nor in the ledger.

    Attributes:
        run_id: The run.
        seal: The seal.
        entry: Its name on the list.
        is_imported: Whether a bundle brought it, which the ledger heard of.
    """

    run_id: str
    seal: RunFile
    entry: Path
    is_imported: bool


def sweep(layout: Layout) -> None:
    """Put on the list what is sealed, or made, and stands neither there nor in the ledger.

    Before that the ledger hears that it did not hear of them when they were closed.
    """
    with store_errors("look for what is not in the ledger"):
        known = known_to(Log(layout))
        found, made = _unnoted(layout, layout.run_ids(), known), unnoted(layout, known)
        if found or made:
            time.sleep(_MOMENT_SECONDS)  # what is closed just now gets onto the list by itself
            found = _unnoted(layout, sorted({each.run_id for each in found}), known)
            still = unnoted(layout, known).items() if made else ()
            pending.note_versions(layout, {ref: c for ref, c in still if ref in made}, late=True)
        _note_gap(layout, sorted({each.run_id for each in found if not each.is_imported}))
        for each in found:
            _put_on_list(layout, each.seal, each.entry)


def _unnoted(layout: Layout, run_ids: Iterable[str], known: set[str]) -> list[_Unnoted]:
    """Their seals that are neither `known` nor on the list."""
    found = []
    for run_id in run_ids:
        with suppress(OSError, IntegrityError):  # what cannot be read `verify` tells
            files = layout.run_files(run_id)
            for seal in files.seals:
                name = seal_entry(run_id, seal.name)
                entry = layout.root / PENDING / name
                if name not in known and not entry.exists():
                    is_imported = Origins(files.facts).of(seal) is not None
                    found.append(_Unnoted(run_id, seal, entry, is_imported))
    return found


def _note_gap(layout: Layout, run_ids: Sequence[str]) -> None:
    for start in range(0, len(run_ids), _MOST_RUNS):
        runs = tuple(run_ids[start : start + _MOST_RUNS])
        gap = GapFound(at=datetime.now(UTC), who=pending.this_user(), runs=runs)
        pending.note(layout, gap)


def known_to(log: Log) -> set[str]:
    """What seals and versions in the ledger are known by, or in what a crash left behind its head.

    Raises:
        IntegrityError: The entries are not those that the head tells of.
    """
    head, tree = log.tree(), Range()
    found = set(_told(log.beyond(head.size)))
    for lines in log.read(0, head.size):
        tree.extend(map(leaf_hash, lines))
        found.update(_told(lines))
    if tree.peaks != head.peaks:
        raise IntegrityError(
            f"the entries in {log.entries} are not what the head says; nothing is added before "
            "somebody has looked: `instrument ledger verify` tells more"
        )
    return found


def _told(lines: Iterable[bytes]) -> Iterator[str]:
    """What the seals and versions are known by that the entries `lines` tell of."""
    for line in lines:
        if line.startswith(_PREFIX):
            known = _identity(line)
            if isinstance(known, str):
                yield known
        else:
            yield from refs_in(line)


def _put_on_list(layout: Layout, seal: RunFile, entry: Path) -> None:
    if not note_seal(layout, seal.path):  # it is in a pack
        with suppress(FileNotFoundError, IntegrityError):
            layout.files.publish(entry, seal.read())


def _finish(layout: Layout, log: Log) -> Range:
    """Finish what a crash left: entries without a head, and events whose entry is there."""
    tree = log.tree()
    beyond = log.beyond(tree.size)
    last = (tree.size - 1) // WIDTH * WIDTH if tree.size else 0
    entered = {_identity(line) for lines in log.read(last, tree.size) for line in lines}
    waiting = {path: pending.identity(path) for path in pending.paths(layout)}
    unfinished = set(map(_identity, beyond))
    if not unfinished <= set(waiting.values()):
        raise IntegrityError(
            f"{log.entries} has {len(beyond)} entries more than its head says, and no event "
            "that waits explains them; `instrument ledger verify` tells more"
        )
    if beyond:
        tree = log.adopt(tree, beyond)
    _drop(layout, [path for path, known in waiting.items() if known in entered | unfinished])
    return tree


def _drop(layout: Layout, paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(FileNotFoundError):
            layout.files.disk.unlink(path)


def _identity(line: bytes) -> str | bytes:
    """What the event of an entry is known by, as in `pending.identity`."""
    if line.startswith(_PREFIX):
        with suppress(msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            sealed = _decode_sealed(line)
            return seal_entry(sealed.run_id, sealed.seal)
    return line
