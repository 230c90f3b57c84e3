"""Upkeep: what a store may offer that can let go of bytes, of runs, and be told to hold them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

import msgspec

from instrument.audit import ObjectsDropped, RunDropped, Who
from instrument.query import Condition

CAPTURE: Final = "capture"
"""As a type: what was captured of a run itself (environment, code, telemetry)."""
GRACE_SECONDS: Final = 24 * 3600.0
"""Nothing younger goes: somebody may be about to refer to it."""

KeepKind: TypeAlias = Literal["last", "tagged", "alias", "used", "best", "held"]


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that keeps versions. What no rule keeps goes.

    Attributes:
        text: The rule as the user gave it: ``best=3:metrics.val_loss:min``.
        kind: ``last``: what the newest `count` runs made, made again or used; ``tagged``: what has
            an alias beside ``latest``; ``alias``: what has the alias `name`; ``used``: what a run
            used; ``best``: the `count` with the best metric `name`; ``held``: what is held.
        count: How many.
        name: Of the alias or the metric.
        lowest: Whether the lowest value is the best.
    """

    text: str
    kind: KeepKind
    count: int = 0
    name: str = ""
    lowest: bool = True


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Which versions may go, and which of them stay all the same.

    Attributes:
        text: The rules as the user gave them; the ledger keeps it.
        types: Only versions of these types (`CAPTURE` is one); none: any that a run made.
        where: Only what runs made that meet this.
        older_than_seconds: Only what was made longer ago.
        keep: What stays.
        keep_parents: What is kept keeps what it was made from.
    """

    text: str
    types: tuple[str, ...] = ()
    where: Condition | None = None
    older_than_seconds: float | None = None
    keep: tuple[Keep, ...] = ()
    keep_parents: bool = False


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What one collection is to look for.

    Attributes:
        policies: Each lets versions go; nothing goes that another policy's version refers to.
        unreferenced: Whether objects go that nothing refers to, with what dead processes left.
        grace_seconds: Nothing younger goes, by the clock of the file system.
    """

    policies: tuple[Policy, ...] = ()
    unreferenced: bool = False
    grace_seconds: float = GRACE_SECONDS


class Drop(msgspec.Struct, frozen=True, kw_only=True):
    """What goes of one version, or of one run.

    Attributes:
        subject: ``name:vN`` or the id of a run; None for objects that nothing refers to.
        type: Type of the version, ``capture``, or ``unreferenced``.
        made_at: When it was made; None when that is not known.
        rule: The rules that let it go.
        digests: The objects that go with it and that no drop before it has.
        size_bytes: Bytes that become free.
    """

    subject: str | None
    type: str
    made_at: datetime | None
    rule: str
    digests: tuple[str, ...]
    size_bytes: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection would do, or did.

    Attributes:
        drops: What goes.
        objects: How many objects that are.
        size_bytes: Bytes that become free, leftovers included.
        kept: How many versions, whole in the store, each rule keeps that would go without it.
        young: How many objects stay since they are younger than the grace period.
        leftovers: Files that dead processes left, relative to the store.
    """

    drops: tuple[Drop, ...]
    objects: int
    size_bytes: int
    kept: dict[str, int]
    young: int
    leftovers: tuple[str, ...]


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A retention period or legal hold that is in force.

    Attributes:
        subject: A run's id or ``name:vN``.
        until: Nothing of it may go before then.
        at: When it was set.
        who: Who set it.
        why: The reason that was given, or None.
    """

    subject: str
    until: datetime
    at: datetime
    who: Who
    why: str | None


class Upkeep(Protocol):
    """Lets go of what is not wanted any more. Records, versions and lineage stay."""

    def plan(self, scope: Scope) -> Plan:
        """What `collect` would do now; changes nothing.

        Raises:
            HeldError: The rules let go of something that is held, and do not keep what is held.
            IntegrityError: Something is damaged, so that not all references can be known.
            StoreError: Something cannot be read, with the same consequence.
        """

    def collect(
        self, scope: Scope, why: str | None = None, told: Callable[[int], None] | None = None
    ) -> Plan:
        """Remove what `plan` tells; what was done. May be interrupted and repeated at any moment.

        Whatever is stored, or found to be there, by somebody else meanwhile stays.

        Args:
            scope: What goes.
            why: The reason, for the ledger.
            told: Called with the number of bytes that were removed since the last call.

        Raises:
            StoreError: As `plan`; or another process maintains the store; or it cannot be written.
        """

    def holds(self) -> list[Hold]:
        """The holds that are in force, by subject."""

    def hold(self, subject: str, until: datetime | None, why: str | None) -> None:
        """Hold a run (its id) or a version (``name:vN``) until then; None lifts the hold.

        Raises:
            NotFoundError: There is no such run or version, or no hold to lift.
            HeldError: It is held for longer already.
        """

    def delete_run(self, run_id: str, why: str, *, redact: bool = False) -> RunDropped:
        """Remove the records of a run, also from packs; the ledger keeps the digest of its seal.

        Args:
            run_id: The run.
            why: The reason.
            redact: Remove also the objects that only this run refers to, at once, and what mirrors
                left of it in the store.

        Raises:
            NotFoundError: There is no such run.
            HeldError: It is held, or made something that is.
            UsageError: It is still recording.
            StoreError: It cannot be written; call again to finish.
        """

    def dropped_objects(self) -> Mapping[str, ObjectsDropped]:
        """How each object was let go last, by digest; some are there again."""

    def dropped_runs(self) -> Mapping[str, RunDropped]:
        """How each run was removed, by id; without those that were recorded again since."""

    def is_half_deleted(self, run_id: str) -> bool:
        """Whether a deletion of the run was begun and is not over: `delete_run` ends it."""


@runtime_checkable
class HasUpkeep(Protocol):
    """A store that can be kept tidy."""

    @property
    def upkeep(self) -> Upkeep:
        """Its upkeep."""
