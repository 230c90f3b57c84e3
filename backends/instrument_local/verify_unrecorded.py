"""What stands in the store and no record tells of: versions and aliases that were put there.

The ledger hears of the move of an alias before it is made, and of a version that no run makes; of
the others the run that made it tells. A process may be killed between a version and its record, so
a version without one is noted. An alias without one has no such excuse.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from instrument.audit import AliasMoved, Event, VersionsMade, decode_event
from instrument.errors import InstrumentError
from instrument.naming import LATEST
from instrument_local.findings import Findings
from instrument_local.layout import Layout
from instrument_local.ledger.local import LocalLedger
from instrument_local.ledger.pending import paths, waiting
from instrument_local.stamps import unstamp
from instrument_local.version_files import AliasFact

_Move = tuple[str | None, str, str, int]


class Standing(NamedTuple):
    """What a check of the artifacts has read.

    Attributes:
        versions: The file of each version, by its reference.
        facts: The last fact about each alias, by its file.
    """

    versions: dict[str, Path]
    facts: dict[Path, AliasFact]


def check_unrecorded(
    layout: Layout, findings: Findings, standing: Standing, logged: set[str]
) -> None:
    """Find what of `standing` nothing tells of.

    Args:
        layout: The store.
        findings: Takes what is found.
        standing: What there is.
        logged: References that the journals of runs tell of.
    """
    unlogged = standing.versions.keys() - logged
    if not (standing.facts or unlogged):
        return
    try:
        moved, made = _told(layout)
    except (InstrumentError, OSError):
        return  # the check of the ledger tells
    for path, fact in standing.facts.items():
        is_held = fact.move is None and fact.alias == LATEST  # by an import, which tells no move
        if not is_held and (fact.move, fact.name, fact.alias, fact.version) not in moved:
            expected = "an alias that an entry of the ledger moved"
            found = f"{fact.alias} at v{fact.version}, which no entry tells"
            findings.add("alias_unrecorded", path, expected, found)
    for ref in sorted(unlogged - made):
        found = f"{ref}, of which neither its run nor the ledger tells"
        expected = "a version that something tells of"
        findings.add("version_unrecorded", standing.versions[ref], expected, found, "note")


def _told(layout: Layout) -> tuple[set[_Move], set[str]]:
    """The moves of aliases that the ledger tells, and the references of versions.

    A fact of before has no id of its move: each move stands here without it, too.
    """
    moved: set[_Move] = set()
    made: set[str] = set()
    for event in _events(layout):
        if isinstance(event, AliasMoved):
            where = (event.name, event.alias, event.version)
            moved |= {(event.move, *where), (None, *where)}
        elif isinstance(event, VersionsMade):
            made |= event.versions.keys()
    return moved, made


def _events(layout: Layout) -> Iterator[Event]:
    """All events, those too that wait to be entered."""
    for entry in LocalLedger(layout).entries():
        yield entry.event
    for each in waiting(paths(layout)):
        yield decode_event(unstamp(each.line + b"\n"))
