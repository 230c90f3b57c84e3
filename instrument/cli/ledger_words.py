"""What the events of the ledger say to people."""

from collections.abc import Sequence
from datetime import MAXYEAR, datetime

from instrument.audit import (
    AliasMoved,
    Event,
    Exported,
    GapFound,
    HoldChanged,
    Imported,
    KeyRotated,
    ObjectsDropped,
    Packed,
    Repaired,
    RunBegan,
    RunDropped,
    RunSealed,
    UnknownEvent,
    VersionsMade,
)
from instrument.cli.words import count, last_day, listed, short_digest, size


def what_happened(event: Event) -> str:
    """The event on one line."""
    match event:
        case RunBegan():
            return f"run {event.run_id} began (attempt {event.attempt})"
        case RunSealed():
            return f"run {event.run_id} closed ({event.seal}, {short_digest(event.digest)})"
        case GapFound():
            return f"gap: {_runs(event.runs)} closed before, which was not noted"
        case AliasMoved():
            before = f", before v{event.before}" if event.before else ""
            return f"{event.name}:{event.alias} is v{event.version}{before}"
        case VersionsMade():
            made = listed(list(event.versions), most=3)
            return f"gap: {made} made before, which was not noted" if event.late else f"{made} made"
        case Exported():
            return f"{_runs(event.runs)} exported as {short_digest(event.bundle)}"
        case Imported():
            vouched = f", {event.verified}" if event.verified else ", origin not verified"
            return f"{_runs(event.runs)} imported from store {event.origin}{vouched}"
        case RunDropped():
            return f"run {event.run_id} removed ({event.rule})"
        case ObjectsDropped():
            amount = f"{count(len(event.digests), 'object')}, {size(event.size_bytes)}"
            return f"{amount} removed ({event.rule})"
        case _:
            return _upkeep(event)


def who_signed(signer: str | None, keys: Sequence[str]) -> str:
    """Who signed what a proof leads to, for somebody who gave `keys`."""
    if signer is None and not keys:
        return "no given key signed it: compare the checkpoint with one you hold"
    if signer is None:
        return (
            "no given key signed it, nor agreed to one that did: compare the checkpoint with one "
            "you hold; or, where who signs has a new key, ask them for its public half (they have "
            "it from `instrument ledger key show`), not who brought you the proof"
        )
    agreed = signer not in {key.strip() for key in keys}
    return f"signed by {signer}" + (", to which a given key agreed" if agreed else "")


def _upkeep(event: Event) -> str:
    """The events that concern no run or artifact by itself."""
    match event:
        case HoldChanged(subject=subject, until=None):
            return f"hold on {subject} lifted"
        case HoldChanged(until=datetime() as until):
            end = "it is lifted" if until.year == MAXYEAR else last_day(until)
            return f"{event.subject} held until {end}"
        case Packed():
            return f"{count(event.runs, 'run')} packed into {short_digest(event.pack)}"
        case Repaired():
            return f"{event.path} {event.action} ({event.kind.replace('_', ' ')})"
        case KeyRotated(old=None):
            return f"checkpoints are signed by {event.new}"
        case KeyRotated():
            agreed = "which agreed" if event.signature else "which did not agree"
            return f"checkpoints are signed by {event.new}, no more by {event.old}, {agreed}"
        case UnknownEvent():
            return f"{event.name} (by a newer version)"
        case _:
            return str(event.__struct_config__.tag)


def _runs(runs: tuple[str, ...]) -> str:
    return f"run {runs[0]}" if len(runs) == 1 else f"{len(runs)} runs ({listed(runs, most=3)})"
