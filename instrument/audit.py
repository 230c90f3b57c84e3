"""What the ledger holds: one frozen type for each event that closes, changes or removes something.

Events are only ever added. Each says who did it, when and why; what an event refers to it names by
digest, so that the event still proves it when the bytes are gone.
"""

import functools
import operator
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """Who did something: as the operating system says, which is a claim and no proof.

    Attributes:
        user: Login name, or None.
        uid: User id.
        host: Name of the host.
    """

    user: str | None
    uid: int
    host: str


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """Base of all events.

    Attributes:
        at: When, UTC, by the clock of the host.
        who: Who did it.
        why: The reason that was given, or None.
    """

    at: datetime
    who: Who
    why: str | None = None


class RunBegan(Event, frozen=True, kw_only=True, tag="run_began"):
    """An attempt at a run begins, whose audit is required: noted before its first record.

    Attributes:
        run_id: The run.
        attempt: The attempt, from 1.
    """

    run_id: str
    attempt: int


class RunSealed(Event, frozen=True, kw_only=True, tag="run_sealed"):
    """A run was closed. Its seal names every journal by length, digest and last chain.

    Attributes:
        run_id: The run.
        seal: Name of the seal's file: ``run.json``, ``run.2.json`` …
        digest: Digest of the seal's file.
    """

    run_id: str
    seal: str
    digest: str


class GapFound(Event, frozen=True, kw_only=True, tag="gap_found"):
    """Runs were closed and the ledger did not hear of it then, but only now.

    Until now what was done to them could go unseen. The entries of their seals say since when.

    Attributes:
        runs: The runs, at most 1 000 an event.
    """

    runs: tuple[str, ...]


class AliasMoved(Event, frozen=True, kw_only=True, tag="alias_moved"):
    """An alias was pointed at a version: by a tag, a rollback, or older content logged again.

    Noted first; whoever takes it into the ledger does what a crash kept from being done.

    Attributes:
        name: The artifact.
        alias: The alias.
        version: Where it points from now on.
        before: Where it pointed, or None.
        move: Stands in the alias file that does it, too; None in events of before.
    """

    name: str
    alias: str
    version: int
    before: int | None
    move: str | None = None


class VersionsMade(Event, frozen=True, kw_only=True, tag="versions_made"):
    """Versions of artifacts are there that no run's seal covers.

    They were made without a run or by an import, or the run that made them is removed; then `why`
    names it.

    Attributes:
        versions: The ``check`` of each version's file by its reference, at most 1 000 an event.
        late: Whether it was not noted when they were made, but found later: until then what was
            done to them could go unseen, and who made them is not known.
    """

    versions: dict[str, str]
    late: bool = False


class Exported(Event, frozen=True, kw_only=True, tag="exported"):
    """A bundle was written.

    Attributes:
        bundle: Digest of the bundle's file.
        runs: The runs in it.
    """

    bundle: str
    runs: tuple[str, ...]


class Imported(Event, frozen=True, kw_only=True, tag="imported"):
    """A bundle was taken in.

    Attributes:
        bundle: Digest of the bundle's file.
        origin: Id of the store it came from.
        runs: The runs that it brought, by the ids they have here.
        verified: What vouched for it: ``signed by <key>``, ``proof`` or None.
    """

    bundle: str
    origin: str
    runs: tuple[str, ...]
    verified: str | None = None


class ObjectsDropped(Event, frozen=True, kw_only=True, tag="objects_dropped"):
    """The bytes of objects were removed; their digests, versions and lineage stay.

    Attributes:
        digests: The objects, at most 1 000 an event.
        size_bytes: Bytes that were freed.
        rule: The rule that let them go, as the user gave it.
    """

    digests: tuple[str, ...]
    size_bytes: int
    rule: str


class RunDropped(Event, frozen=True, kw_only=True, tag="run_dropped"):
    """The records of a run were removed, on a rule or because somebody had a right to it.

    Attributes:
        run_id: The run.
        digest: Digest of its last seal, or None when it had none.
        rule: The rule, or ``redaction``.
    """

    run_id: str
    digest: str | None
    rule: str


class HoldChanged(Event, frozen=True, kw_only=True, tag="hold_changed"):
    """A retention period or legal hold was set or lifted.

    Attributes:
        subject: A run's id or an artifact's reference.
        until: Nothing of it may go before then; None lifts the hold.
    """

    subject: str
    until: datetime | None


class Packed(Event, frozen=True, kw_only=True, tag="packed"):
    """Sealed runs moved into a pack.

    Attributes:
        pack: Digest of the pack's file.
        runs: How many runs.
    """

    pack: str
    runs: int


class Repaired(Event, frozen=True, kw_only=True, tag="repaired"):
    """Something damaged was set aside or put right.

    Attributes:
        path: The file, relative to the store.
        kind: Kind of the damage, as `verify` names it.
        action: What was done: ``sealed``, ``quarantined``, ``restored`` …
    """

    path: str
    kind: str
    action: str


class KeyRotated(Event, frozen=True, kw_only=True, tag="key_rotated"):
    """From now on another key signs checkpoints.

    Attributes:
        old: The public key that signed so far, or None for the first.
        new: The public key from now on.
        signature: The old key's signature under ``instrument key rotation``, the id of the store,
            `old` and `new`, one a line; None for the first key, or where the old one was lost.
    """

    old: str | None
    new: str
    signature: str | None = None


class UnknownEvent(Event, frozen=True, kw_only=True):
    """An event that a newer version wrote.

    Attributes:
        name: What it is called there.
    """

    name: str


EVENTS: Final[Mapping[str, type[Event]]] = {
    str(cls.__struct_config__.tag): cls
    for cls in (
        RunBegan,
        RunSealed,
        GapFound,
        AliasMoved,
        VersionsMade,
        Exported,
        Imported,
        ObjectsDropped,
        RunDropped,
        HoldChanged,
        Packed,
        Repaired,
        KeyRotated,
    )
}
AnyEvent: Final[Any] = functools.reduce(operator.or_, EVENTS.values())
_decoder: Final[Any] = msgspec.json.Decoder(AnyEvent)


def decode_event(data: bytes) -> Event:
    """The event in the JSON object `data`; members that are not known are left out.

    Raises:
        msgspec.MsgspecError: `data` is no event.
        UnicodeDecodeError: It is not even text.
    """
    try:
        event: Event = _decoder.decode(data)
    except msgspec.ValidationError:
        head = msgspec.json.decode(data, type=_Head)
        if head.event in EVENTS:
            raise
        return UnknownEvent(at=head.at, who=head.who, why=head.why, name=head.event)
    return event


class _Head(msgspec.Struct):
    """What every event has."""

    event: str
    at: datetime
    who: Who
    why: str | None = None
