"""Retention periods and legal holds: what may not go. They stand in the ledger and nowhere else."""

from collections.abc import Iterable, Mapping
from datetime import MAXYEAR, UTC, datetime

from instrument.audit import HoldChanged
from instrument.errors import HeldError, NotFoundError
from instrument.protocols.upkeep import Hold
from instrument_local.layout import Layout
from instrument_local.ledger.pending import note, this_user
from instrument_local.liveness import server_time
from instrument_local.upkeep.references import RunReferences
from instrument_local.upkeep.tombstones import events


def holds(layout: Layout) -> dict[str, Hold]:
    """The holds that are in force, by subject, by the clock of the file system.

    Raises:
        IntegrityError: The ledger is damaged.
        StoreError: It cannot be read.
    """
    found: dict[str, Hold] = {}
    for event in events(layout):
        if isinstance(event, HoldChanged):
            found.pop(event.subject, None)
            if event.until is not None:
                found[event.subject] = Hold(
                    subject=event.subject,
                    until=event.until,
                    at=event.at,
                    who=event.who,
                    why=event.why,
                )
    if not found:
        return {}
    now = datetime.fromtimestamp(server_time(layout), UTC)
    return {subject: found[subject] for subject in sorted(found) if found[subject].until > now}


def change(layout: Layout, subject: str, until: datetime | None, why: str | None) -> None:
    """See `instrument.protocols.upkeep.Upkeep.hold`; `subject` is there."""
    now = holds(layout).get(subject)
    if until is None and now is None:
        raise NotFoundError(f"there is no hold on {subject}; `instrument hold list` shows them")
    if until is not None and now is not None and until < now.until:
        raise HeldError(f"{in_words(now)}: a hold is only made shorter by lifting it first")
    note(
        layout,
        HoldChanged(at=datetime.now(UTC), who=this_user(), why=why, subject=subject, until=until),
    )


def covered(
    held: Iterable[str], runs: Mapping[str, RunReferences], makers: Mapping[str, str | None]
) -> dict[str, str]:
    """What the holds cover, each with the subject of the hold: a run with all it made and used.

    Args:
        held: Subjects of the holds.
        runs: What the runs name.
        makers: The run that made each version first.
    """
    found: dict[str, str] = {}
    for subject in held:
        found[subject] = subject
        named = runs.get(subject)
        if named is not None:
            made = (ref for ref, maker in makers.items() if maker == subject)
            found.update(dict.fromkeys((*named.logged, *named.used, *made), subject))
    return found


def in_words(hold: Hold) -> str:
    """The hold, as the reason of a refusal."""
    forever = hold.until.year == MAXYEAR
    until = "the hold is lifted," if forever else f"{hold.until:%Y-%m-%d}"
    who = f"{hold.who.user or hold.who.uid}@{hold.who.host}"
    why = f" ({hold.why})" if hold.why else ""
    return f"{hold.subject} is held until {until} by {who}{why}"
