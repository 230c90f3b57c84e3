"""What the ledger says of what was let go."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

import msgspec

from instrument.audit import Event, ObjectsDropped, RunDropped, RunSealed, decode_event
from instrument.errors import InstrumentError
from instrument_local.files import read_file
from instrument_local.layout import Layout

LEFT_OUT: Final = "left out of bundle "
"""How the rule begins of what nobody removed: an import did not bring it."""


def dropped_objects(layout: Layout) -> dict[str, ObjectsDropped]:
    """How each object was let go last, by its digest.

    Raises:
        IntegrityError: The ledger is damaged.
        StoreError: It cannot be read.
    """
    return _by_digest(events(layout))


def dropped_runs(layout: Layout) -> dict[str, RunDropped]:
    """How each run was removed, unless it was recorded again since. Raises as `dropped_objects`."""
    found: dict[str, RunDropped] = {}
    for event in events(layout):
        if isinstance(event, RunDropped):
            found[event.run_id] = event
        elif isinstance(event, RunSealed):
            found.pop(event.run_id, None)
    return found


def obituary(layout: Layout, digest: str) -> str:
    """Why there is no object `digest`, and what can be done about it."""
    try:
        event = dropped_objects(layout).get(digest)
    except (InstrumentError, OSError):
        event = _by_digest(_readable_events(layout)).get(digest)
    if event is None:
        return (
            f"there is no object {digest}; `instrument repair --from COPY` brings it back from a "
            "copy of the store"
        )
    if _was_left_out(event):
        return f"object {digest} is not here: {fate(event)}"
    return f"object {digest} was {fate(event)}; to log the same content again brings it back"


def fate(event: ObjectsDropped) -> str:
    """What became of its objects: ``collected on …``, or that a bundle came without them."""
    return _left_out(event) if _was_left_out(event) else f"collected {in_words(event)}"


def in_words(event: ObjectsDropped | RunDropped) -> str:
    """``on 2026-11-21 by ann@box (--keep tagged): disk full``."""
    because = f": {event.why}" if event.why else ""
    return f"{_when(event)} ({event.rule}){because}"


def _was_left_out(event: ObjectsDropped) -> bool:
    return event.rule.startswith(LEFT_OUT)


def _left_out(event: ObjectsDropped) -> str:
    """Which bundle came without it, and what can be done about that."""
    because = f": {event.why}" if event.why else ""
    return (
        f"bundle {event.rule.removeprefix(LEFT_OUT)} came without it (imported {_when(event)}"
        f"{because}); importing a bundle that has it, or logging the same content, brings it back"
    )


def _when(event: ObjectsDropped | RunDropped) -> str:
    return f"on {event.at:%Y-%m-%d} by {event.who.user or event.who.uid}@{event.who.host}"


def events(layout: Layout) -> Iterator[Event]:
    """All events in order, those that wait included."""
    from instrument_local.ledger.local import LocalLedger

    return (entry.event for entry in LocalLedger(layout).entries())


def _readable_events(layout: Layout) -> Iterator[Event]:
    """The events that can be read, whatever else of the ledger is damaged."""
    from instrument_local.ledger import pending
    from instrument_local.ledger.log import Log

    lines: list[bytes] = []
    with suppress(OSError):
        for block in Log(layout).blocks():
            lines += read_file(block.path).splitlines()
        lines += [each.line for each in sorted(pending.waiting(pending.paths(layout)))]
    for line in lines:
        with suppress(msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            yield decode_event(line)


def _by_digest(found: Iterable[Event]) -> dict[str, ObjectsDropped]:
    dropped = (event for event in found if isinstance(event, ObjectsDropped))
    return {digest: event for event in dropped for digest in event.digests}
