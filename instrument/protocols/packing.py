"""Packing: what a store may offer that keeps many runs in few files."""

from typing import Protocol, runtime_checkable

import msgspec


class Packing(msgspec.Struct, frozen=True, kw_only=True):
    """What packing did.

    Attributes:
        packs: How many packs were written.
        runs: How many runs lie in packs only, that did not before.
        files: How many files were removed, since packs have what was in them.
        size_bytes_before: Length of those files.
        size_bytes_after: Length of the packs that were written.
        left: How many runs were left as they are, by reason.
    """

    packs: int
    runs: int
    files: int
    size_bytes_before: int
    size_bytes_after: int
    left: dict[str, int]


class Part(msgspec.Struct, frozen=True):
    """Files of one kind.

    Attributes:
        files: How many.
        size_bytes: How long they are together.
    """

    files: int
    size_bytes: int


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What lies in a store.

    Attributes:
        runs: How many runs there are.
        packed_runs: How many of them lie in packs only.
        parts: The files by what they are: ``journals``, ``seals``, ``packs``, ``objects``, …
        artifacts: By type of artifact how many versions there are (`files`), and the length of what
            they name; content that several name is stored once and counted for each.
    """

    runs: int
    packed_runs: int
    parts: dict[str, Part]
    artifacts: dict[str, Part]


@runtime_checkable
class Packs(Protocol):
    """A store that can be packed."""

    def pack(self, *, everything: bool = False, why: str | None = None) -> Packing:
        """Move the runs that are final into packs. Nobody notices but by the number of files.

        A run is final when it is sealed, when no process records for it, and when its journals were
        closed or nobody has written to them for a week. It may be interrupted at any moment: every
        run can be read all the while, and packing again goes on.

        Args:
            everything: Pack what became final just now, too, and few runs, too.
            why: The reason, for the ledger.

        Raises:
            StoreError: Somebody else maintains the store, or it cannot be written.
        """

    def unreadable(self) -> dict[str, str]:
        """Runs and packs that cannot be read, each with the reason: the last list lacks them.

        Raises:
            StoreError: The store cannot be read.
        """

    def usage(self) -> Usage:
        """How much lies in the store; looks at every file."""
