"""Where aliases were pointed last, as the ledger tells, and which versions there were then."""

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from instrument.audit import AliasMoved, VersionsMade
from instrument.errors import InstrumentError, IntegrityError
from instrument.naming import LATEST
from instrument_local.layout import Layout
from instrument_local.ledger.local import LocalLedger
from instrument_local.version_files import AliasFact, fact_path, load_fact
from instrument_local.versions import LocalVersions


class LastMove(NamedTuple):
    """The last move of an alias.

    Attributes:
        event: What the ledger says.
        highest: The highest version that there was. ``latest`` is that one until somebody moves it,
            so what is said of moves up to here tells, and what is said of versions that were made.
    """

    event: AliasMoved
    highest: int

    def __str__(self) -> str:
        return f"{self.event.name}:v{self.event.version}"


def last_moves(layout: Layout) -> dict[tuple[str, str], LastMove]:
    """The last move of each alias, by the name of the artifact and the alias.

    What follows a damaged entry is not known: then there is none, for it may not be the last.
    """
    moves: dict[tuple[str, str], LastMove] = {}
    highest: dict[str, int] = {}
    with suppress(InstrumentError):
        for entry in LocalLedger(layout).entries():
            event = entry.event
            if isinstance(event, VersionsMade):
                for ref in event.versions:
                    name, _, number = ref.rpartition(":v")
                    if number.isdecimal():
                        highest[name] = max(highest.get(name, 0), int(number))
            elif isinstance(event, AliasMoved):
                there = max(highest.get(event.name, 0), event.version, event.before or 0)
                highest[event.name] = there
                moves[event.name, event.alias] = LastMove(event, there)
        return moves
    return {}


def is_lost(layout: Layout, move: LastMove) -> bool:
    """Whether no fact tells of `move`, nor of anything that came after it."""
    event = move.event
    facts = list(_facts(layout, event.name, event.alias))
    if event.move is not None and any(fact.move == event.move for fact in facts):
        return False
    if event.alias == LATEST and any(fact.highest > move.highest for fact in facts):
        return False  # an import held it since: what is made again now would undo that
    return event.move is not None or not facts or facts[-1].version != event.version


def _facts(layout: Layout, name: str, alias: str) -> Iterator[AliasFact]:
    """What can be read of the facts about an alias, in order."""
    last = LocalVersions(layout).listing(name).facts.get(alias, 0)
    for number in range(1, last + 1):
        with suppress(IntegrityError, OSError):
            yield load_fact(fact_path(layout.artifacts / name, alias, number))
