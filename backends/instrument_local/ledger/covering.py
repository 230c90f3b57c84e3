"""Which checkpoint a proof leads to."""

import functools
from collections.abc import Iterable, Sequence

from instrument.audit import KeyRotated
from instrument.errors import IntegrityError, UsageError
from instrument_local.ledger import agreements
from instrument_local.ledger.notes import (
    MOST_SIGNATURES,
    Checkpoint,
    Note,
    Signature,
    parse_key,
    signer_of,
)
from instrument_local.ledger.tree import Tree


class Covering:
    """The checkpoints of one ledger, the best first.

    That is the newest of those that the key in force signed; then of those that the key before it
    signed, and so on. One by a key that the ledger does not know comes last.

    Args:
        origin: Id of the store.
        tree: All entries.
        notes: The checkpoints that are kept.
        rotations: All keys that the ledger announced, the first one first.
    """

    def __init__(
        self, origin: str, tree: Tree, notes: Iterable[Note], rotations: Iterable[KeyRotated]
    ) -> None:
        self._tree = tree
        self._bare = Note(Checkpoint(origin, tree.size, tree.root()), ())
        self._rotations = list(filter(_is_readable, rotations))
        self._keys = [parse_key(event.new) for event in self._rotations]
        signed = (note for note in notes if note.signatures and self._fits(note.checkpoint))
        self._best_first = sorted(
            signed, key=lambda note: (self._rank(note), note.checkpoint.size), reverse=True
        )
        self._is_good = functools.cache(self._check)  # each takes milliseconds, and few are needed

    def of(self, index: int) -> Note:
        """The best one with entry `index`, and how its key came to sign; else an unsigned one."""
        covering = (note for note in self._best_first if index < note.checkpoint.size)
        note = next(filter(self._is_good, covering), self._bare)
        return Note(note.checkpoint, (*note.signatures, *self._agreements(note)))

    def _fits(self, checkpoint: Checkpoint) -> bool:
        size = checkpoint.size
        return size <= self._tree.size and self._tree.root(size) == checkpoint.root

    def _rank(self, note: Note) -> int:
        """The place of the last key that claims to have signed; -1 for none of the ledger's."""
        claimed = {(each.name, each.key_id) for each in note.signatures}
        places = (place for place, key in enumerate(self._keys) if (key.name, key.id) in claimed)
        return max(places, default=-1)

    def _check(self, note: Note) -> bool:
        try:
            for each in note.signatures:
                signer_of(note.checkpoint.text, each, self._keys)
        except IntegrityError:
            return False
        return True

    def _agreements(self, note: Note) -> Sequence[Signature]:
        """From the key that signed `note` back to the first, or to one that did not agree."""
        found: list[Signature] = []
        for event in reversed(self._rotations[: self._rank(note) + 1]):
            line = agreements.line(event)
            if line is None:
                break
            found.append(line)
        return found[: MOST_SIGNATURES - len(note.signatures)]


def _is_readable(event: KeyRotated) -> bool:
    try:
        parse_key(event.new)
        agreements.line(event)
    except (IntegrityError, UsageError):
        return False  # `ledger verify` tells
    return True
