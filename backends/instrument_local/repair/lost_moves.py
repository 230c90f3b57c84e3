"""Moves of aliases that the ledger tells and no file does any more, and where each file belongs."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from instrument.audit import AliasMoved, VersionsMade
from instrument.errors import InstrumentError, IntegrityError, StoreError
from instrument.naming import LATEST
from instrument_local.files import read_file
from instrument_local.layout import Layout
from instrument_local.ledger.local import LocalLedger
from instrument_local.stamps import stamp
from instrument_local.version_files import AliasFact, fact_path, load_fact
from instrument_local.versions import LocalVersions


class Move(NamedTuple):
    """A move of an alias.

    Attributes:
        event: What the ledger says.
        highest: The highest version that there was. ``latest`` is that one until somebody moves it,
            so what is said of moves up to here tells, and what is said of versions that were made.
    """

    event: AliasMoved
    highest: int

    def __str__(self) -> str:
        return f"{self.event.name}:v{self.event.version}"


def told_moves(layout: Layout) -> dict[tuple[str, str], list[Move]]:
    """The moves of each alias in order, by the name of the artifact and the alias.

    What follows a damaged entry is not known: then there is none, for the last may not be there.
    """
    moves: defaultdict[tuple[str, str], list[Move]] = defaultdict(list)
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
                moves[event.name, event.alias].append(Move(event, there))
        return moves
    return {}


def lost_moves(layout: Layout, moves: Sequence[Move], damaged: Iterable[Path]) -> dict[Path, Move]:
    """The moves that no file tells of any more, by the file that told of each.

    Where it is in doubt which file that was, it is the last move alone, behind all that is there.

    Args:
        layout: The store.
        moves: The moves of one alias that the ledger tells, in order.
        damaged: Files about the alias that are damaged; they may have been set aside.
    """
    name, alias = moves[-1].event.name, moves[-1].event.alias
    numbers = LocalVersions(layout).listing(name).facts.get(alias, [])
    top = max([0, *numbers, *(int(path.stem.rpartition("@")[2]) for path in damaged)])
    path_of = partial(fact_path, layout.artifacts / name, alias)
    facts = dict(_read(numbers, path_of))
    told = {fact.move for fact in facts.values()}
    lost = [move for move in moves if move.event.move not in told]
    gone = len(lost) - (top - len(facts))  # files that were the last ones
    last = _last(moves[-1], list(facts.values()))
    if None not in {move.event.move for move in moves} and _are_last(lost, moves, gone):
        holes = [number for number in range(1, top + 1) if number not in facts]
        behind = range(top + 1, top + gone + 1) if last else ()
        return dict(zip(map(path_of, (*holes, *behind)), lost, strict=False))
    return {path_of(max(facts, default=0) + 1): last} if last else {}


def _are_last(lost: Sequence[Move], moves: Sequence[Move], count: int) -> bool:
    """Whether `count` is a number, and so many of the last moves are lost."""
    return count >= 0 and all(
        one is other
        for one, other in zip(lost[len(lost) - count :], moves[len(moves) - count :], strict=True)
    )


def _last(move: Move, facts: Sequence[AliasFact]) -> Move | None:
    """The last `move`, if none of `facts` tells of it, nor of anything that came after it."""
    event = move.event
    if event.move is not None and any(fact.move == event.move for fact in facts):
        return None
    if event.alias == LATEST and any(fact.highest > move.highest for fact in facts):
        return None  # an import held it since: what is made again now would undo that
    is_lost = event.move is not None or not facts or facts[-1].version != event.version
    return move if is_lost else None


def _read(
    numbers: Iterable[int], path_of: Callable[[int], Path]
) -> Iterator[tuple[int, AliasFact]]:
    """What can be read of the facts, in order."""
    for number in numbers:
        with suppress(IntegrityError, OSError):
            yield number, load_fact(path_of(number))


def write_again(layout: Layout, path: Path, move: Move) -> None:
    """Let the file `path` tell of `move`.

    Raises:
        StoreError: Something is there.
        OSError: It cannot be written.
    """
    event = move.event
    fact = AliasFact(
        name=event.name,
        alias=event.alias,
        version=event.version,
        highest=move.highest,
        at=event.at,
        move=event.move,
    )
    data = stamp(msgspec.json.encode(fact))
    if not layout.files.publish(path, data) and read_file(path) != data:
        raise StoreError(f"something else is at {path}; repair again")
