"""Which run a context is: one of its own, the one that was handed over, or part of another's."""

from datetime import UTC, datetime

import msgspec

from instrument import stack
from instrument.errors import InstrumentError
from instrument.handover import Handover, Part, received
from instrument.naming import new_run_id
from instrument.protocols import Catalogue
from instrument.records import RunStarted

_adopted: set[str] = set()


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Which run this process records, and its part in it.

    Attributes:
        run_id: The run.
        attempt: Its attempt, from 1.
        owner: Whether this process starts and ends the run.
        started: How the run presents itself; None where this process only takes part in it.
        part: What child processes get (see `instrument.handover`).
        command: The command that is recorded; None for this process's own command line.
    """

    run_id: str
    attempt: int
    owner: bool
    started: RunStarted | None
    part: Part = "join"
    command: tuple[str, ...] | None = None


def adopted(started: RunStarted) -> Identity | None:
    """The run that ``instrument run`` opened for this process, the first time it is asked for."""
    handed = received()
    if handed is None or handed.part != "adopt" or handed.run_id in _adopted:
        return None
    _adopted.add(handed.run_id)
    return part_of(handed, started)


def part_of(handed: Handover, started: RunStarted | None = None) -> Identity:
    """A part in the run that was handed over."""
    return Identity(run_id=handed.run_id, attempt=handed.attempt, owner=False, started=started)


def opened(
    started: RunStarted,
    part: Part,
    *,
    run_id: str | None,
    default_run_id: str | None,
    store: Catalogue | None,
) -> Identity:
    """A run of its own: a new one, or the next attempt at one that is named.

    Args:
        started: How it presents itself; the run around it is added here.
        part: What child processes get.
        run_id: The id that the user asked for.
        default_run_id: The id that the settings give to the outermost run.
        store: Tells how often the run was tried before.
    """
    outer, handed = stack.enclosing(), received()
    parent = outer.id if outer is not None else handed.run_id if handed is not None else None
    named = run_id or (default_run_id if parent is None else None)
    return Identity(
        run_id=named or new_run_id(datetime.now(UTC)),
        attempt=1 + (_attempts(named, store) if named is not None else 0),
        owner=True,
        started=msgspec.structs.replace(started, parent_run_id=parent),
        part=part,
    )


def _attempts(run_id: str, store: Catalogue | None) -> int:
    """How often the run was started before."""
    try:
        return store.run(run_id).attempts if store is not None else 0
    except InstrumentError:
        return 0
