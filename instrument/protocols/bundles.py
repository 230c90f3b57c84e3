"""Bundles: what a store may offer whose runs can travel."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import msgspec

Told: TypeAlias = Callable[[int], None]


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle that was written.

    Attributes:
        path: The file.
        digest: Its digest.
        size_bytes: Its length.
        runs: The runs in it.
        artifacts: The artifact versions in it.
        objects: How many objects are in it.
        left_out: Objects that something in it refers to and that are not in it, by reason.
    """

    path: str
    digest: str
    size_bytes: int
    runs: tuple[str, ...]
    artifacts: tuple[str, ...]
    objects: int
    left_out: dict[str, int]


class ArrivingRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run in a bundle.

    Attributes:
        id: Its id there.
        here: Its id here.
        change: ``new``; ``same``: all of it is here; ``grown``: more of a run that is here;
            ``conflict``: another run here has the id, so it comes under an id of its own.
    """

    id: str
    here: str
    change: Literal["new", "same", "grown", "conflict"]


class ArrivingArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact version in a bundle.

    Attributes:
        ref: What it is called there.
        here: What it is called here.
        is_new: Whether it was not here before.
        is_restored: Whether its file was lost here, and comes back as it was.
    """

    ref: str
    here: str
    is_new: bool
    is_restored: bool = False


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle brings.

    Attributes:
        digest: The bundle's.
        origin: Id of the store it was made from.
        verified: What vouches for its runs: ``signed by <key>``, ``proof`` (they are in the ledger
            of a store, which nobody known to us signed), or None.
        runs: The runs.
        artifacts: The artifact versions.
        objects: How many objects were not here before.
        size_bytes: Their length.
        left_out: How many objects are named in it, are not in it, and are not here.
    """

    digest: str
    origin: str
    verified: str | None
    runs: tuple[ArrivingRun, ...]
    artifacts: tuple[ArrivingArtifact, ...]
    objects: int
    size_bytes: int
    left_out: int


class Bundles(Protocol):
    """Takes runs out of a store and into another."""

    def export(
        self,
        run_ids: Sequence[str],
        target: Path,
        *,
        max_object_bytes: int | None = None,
        why: str | None = None,
        told: Told | None = None,
    ) -> Export:
        """Write `run_ids` and all that they refer to into the new file `target`.

        Whole or not at all, durable on return.

        Args:
            run_ids: The runs; they must have ended.
            target: The file, which must not be there.
            max_object_bytes: Leave out files of artifacts that are longer; the versions still go
                along, with their digests. None: leave out nothing.
            why: The reason, for the ledger.
            told: Called with the number of bytes done since the last call.

        Raises:
            UsageError: A run goes on still, or `target` is there.
            NotFoundError: There is no such run.
            IntegrityError: What should go along is damaged.
            StoreError: It cannot be read or written.
        """

    def import_(  # noqa: PLR0913 - one parameter for each way to do it
        self,
        source: Path,
        *,
        keys: Sequence[str] = (),
        dry_run: bool = False,
        again: bool = False,
        why: str | None = None,
        told: Told | None = None,
    ) -> Import:
        """Take in what the bundle `source` holds.

        All of it is checked before any of it is there. Idempotent; after a crash, again. Nothing
        that is here is changed: of two that differ both are kept.

        Args:
            source: The bundle.
            keys: Public keys; unless one of them signed for every run, nothing is taken in.
            dry_run: Only check, and tell what would come.
            again: Bring back also runs that were removed here on purpose.
            why: The reason, for the ledger.
            told: Called with the number of bytes done since the last call.

        Raises:
            NotFoundError: `source` is no file.
            IntegrityError: It is damaged, contradicts itself, or nobody trusted signed it.
            StoreVersionError: A newer version wrote it.
            UsageError: A key cannot be read.
            StoreError: It cannot be read, or the store cannot be written; or a run that would come
                was removed here on purpose, and `again` is not given.
        """


@runtime_checkable
class HasBundles(Protocol):
    """A store whose runs can travel."""

    @property
    def bundles(self) -> Bundles:
        """Its way out and in."""
