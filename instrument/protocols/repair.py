"""Repair: what a store may offer that can set right what crashes and broken disks leave."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from instrument.protocols.store import Verification


class RepairStep(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was done, or that would be.

    Attributes:
        path: The file, relative to the store.
        kind: What is wrong, as `verify` names it, or ``not_sealed``, ``spooled``, ``half_packed``,
            ``dead_marker``.
        action: ``sealed``, ``adopted``, ``restored``, ``quarantined``, ``finished``, ``removed``.
        detail: What it is about, for people.
        error: Why it could not be done; None when it was.
    """

    path: str
    kind: str
    action: str
    detail: str
    error: str | None = None


class Elsewhere(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy of the store has that is damaged or missing here, and no repair puts back.

    Attributes:
        place: The copy.
        path: The file or directory, in the copy as in the store.
        packed_run: The run whose file it is, when it lies in a pack of the copy, with others.
    """

    place: str
    path: str
    packed_run: str | None = None


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    """What a repair did.

    Attributes:
        dry_run: Whether nothing was done, and `steps` are what would be.
        steps: What was done, in order.
        verification: A check of the whole store afterwards: what is left is lost.
        elsewhere: What of that the given places have.
    """

    dry_run: bool
    steps: tuple[RepairStep, ...]
    verification: Verification
    elsewhere: tuple[Elsewhere, ...] = ()


@runtime_checkable
class Repairs(Protocol):
    """A store that can be repaired."""

    def repair(
        self, *, dry_run: bool = False, why: str | None = None, sources: Sequence[Path] = ()
    ) -> Repair:
        """Set right what can be set right. No recorded byte is changed or removed.

        Idempotent, and safe to interrupt at any moment. Each step is in the ledger before it is
        done, with who, when and `why`.

        Args:
            dry_run: Only tell.
            why: The reason, for the ledger.
            sources: Files and directories that may hold bytes that are lost here: a copy of the
                store, what an artifact was made from, the spool of a process that has ended.

        Raises:
            StoreError: Somebody else maintains the store, or it cannot be written.
        """
