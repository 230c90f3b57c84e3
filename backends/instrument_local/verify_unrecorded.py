"""What stands in the store and no record tells of: versions and aliases that were put there.

The ledger hears of the move of an alias before it is made, and of a version that no run makes; of
the others the run that made it tells. A process may be killed between a version and its record, so
a version without one is noted. An alias without one has no such excuse.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from instrument.audit import AliasMoved, decode_event
from instrument.errors import InstrumentError
from instrument.naming import LATEST
from instrument_local.findings import Findings
from instrument_local.layout import Layout
from instrument_local.ledger import pending
from instrument_local.ledger.log import Log
from instrument_local.ledger.made import refs_in
from instrument_local.version_files import AliasFact, fact_path, load_fact
from instrument_local.versions import LocalVersions

_Move = tuple[str | None, str, str, int]


class Standing(NamedTuple):
    """What a check of the artifacts has read.

    Attributes:
        versions: The file of each version, by its reference.
        facts: The facts about aliases by their file, those about one alias in order.
    """

    versions: dict[str, Path]
    facts: dict[Path, AliasFact]


def read_facts(layout: Layout, findings: Findings, name: str) -> dict[Path, AliasFact]:
    """All facts about the aliases of artifact `name` that are there; a damaged one is a finding."""
    found = {}
    for alias, numbers in LocalVersions(layout).listing(name).facts.items():
        for number in numbers:
            path = fact_path(layout.artifacts / name, alias, number)
            if os.path.lexists(path):
                with findings.reading("alias_damaged", path):
                    found[path] = load_fact(path)
                    findings.size_bytes += path.stat().st_size
    return found


def check_unrecorded(
    layout: Layout, findings: Findings, standing: Standing, logged: set[str]
) -> None:
    """Find what of `standing` nothing tells of.

    Args:
        layout: The store.
        findings: Takes what is found.
        standing: What there is, read before: what came since is not looked at.
        logged: References that the journals of runs tell of.
    """
    unlogged = standing.versions.keys() - logged
    if not (standing.facts or unlogged):
        return
    try:
        moved, made = _told(layout)
    except (InstrumentError, OSError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return  # the check of the ledger tells
    for path, found in _unrecorded(standing.facts, moved):
        expected = "an alias that an entry of the ledger moved"
        findings.add("alias_unrecorded", path, expected, found)
    for ref in sorted(unlogged - made):
        found = f"{ref}, of which neither its run nor the ledger tells"
        expected = "a version that something tells of"
        findings.add("version_unrecorded", standing.versions[ref], expected, found, "note")


def _unrecorded(facts: Mapping[Path, AliasFact], moved: set[_Move]) -> Iterator[tuple[Path, str]]:
    """Of the last fact about each alias those that no move made; a move makes one fact."""
    last = {(fact.name, fact.alias): path for path, fact in facts.items()}
    made = Counter((fact.name, fact.alias, fact.move or "") for fact in facts.values())
    for path in last.values():
        fact = facts[path]
        is_held = fact.move is None and fact.alias == LATEST  # by an import, which tells no move
        if not is_held and (fact.move, fact.name, fact.alias, fact.version) not in moved:
            yield path, f"{fact.alias} at v{fact.version}, which no entry tells"
        elif fact.move and made[fact.name, fact.alias, fact.move] > 1:
            yield path, f"{fact.alias} at v{fact.version}, by a move that was made before"


def _told(layout: Layout) -> tuple[set[_Move], set[str]]:
    """The moves of aliases that the ledger tells, and the references of versions."""
    moved: set[_Move] = set()
    made: set[str] = set()
    for line in _lines(layout):
        if line.startswith(pending.MOVE_PREFIX):
            event = decode_event(line)
            if isinstance(event, AliasMoved):
                moved.add((event.move, event.name, event.alias, event.version))
        else:
            made.update(refs_in(line))
    return moved, made


def _lines(layout: Layout) -> Iterator[bytes]:
    """All entries; those that wait first, or one that is entered meanwhile would be missed."""
    yield from [event.line for event in pending.waiting(pending.paths(layout))]
    for lines in Log(layout).read():
        yield from lines
