"""Which run a context is: one of its own, the one that was handed over, or part of another's.

The ranks of a launch (``torchrun``, ``srun``, ``mpirun``) open the same runs in the same order, so
the n-th run of each is one run. Rank 0 owns it; the others take part in it.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from instrument import handover, stack
from instrument.capture import launch as launches
from instrument.capture.launch import Launch, launch, restarted_job, started_at
from instrument.capture.process import this_command
from instrument.errors import InstrumentError
from instrument.handover import Handover, Part, look, received
from instrument.naming import new_run_id
from instrument.protocols import Catalogue
from instrument.records import ProcessStarted, RunStarted
from instrument.summary import RunSummary
from instrument.vocabulary import RunState

_RECENT = 100
_adopted: set[str] = set()
_shared: set[str] = set()
"""Runs that all ranks of this process's launch have open."""
_children: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)
_next_number = 0


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Which run this process records, and its part in it.

    Attributes:
        run_id: The run.
        attempt: Its attempt, from 1.
        owner: Whether this process starts and ends the run.
        is_rank: Whether it is one of the processes of a launch, which record the run together.
        started: How the run presents itself; None where this process only takes part in it.
        part: What child processes get (see `instrument.handover`); None: what this process got.
        command: The command that is recorded; None for this process's own command line.
        lender: Who handed the run over to a worker, which may live longer than the run.
        open_elsewhere: Whether a living process that this one knows nothing of records the run.
        params: The parameters of the attempts before this one.
        failure: Why it is a run of its own: which run it is could not be found out.
    """

    run_id: str
    attempt: int
    owner: bool
    is_rank: bool = False
    started: RunStarted | None
    part: Part | None = "join"
    command: tuple[str, ...] | None = None
    lender: Handover | None = None
    open_elsewhere: bool = False
    params: dict[str, Any] = {}
    failure: Exception | None = None


def adopted(started: RunStarted) -> Identity | None:
    """The run that ``instrument run`` opened for this process, the first time it is asked for."""
    handed = received()
    if handed is None or handed.part != "adopt" or handed.run_id in _adopted:
        return None
    _adopted.add(handed.run_id)
    _shared.add(handed.run_id)
    return part_of(handed, started)


def part_of(handed: Handover, started: RunStarted | None = None) -> Identity:
    """A part in the run that was handed over."""
    return Identity(
        run_id=handed.run_id,
        attempt=handed.attempt,
        owner=False,
        started=started,
        lender=handed if started is None else None,
    )


def opened(
    started: RunStarted,
    part: Part,
    *,
    run_id: str | None,
    default_run_id: str | None,
    store: Catalogue | None,
) -> Identity:
    """A run of its own: a new one, or the next attempt at one that is named or was broken off.

    Args:
        started: How it presents itself; the run around it is added here.
        part: What child processes get.
        run_id: The id that the user asked for.
        default_run_id: The id that the settings give to the outermost run.
        store: Tells how often the run was tried before.
    """
    try:
        return _found(started, part, run_id, default_run_id, store)
    except Exception as error:  # told when there is a journal
        own = run_id or new_run_id(datetime.now(UTC))
        return Identity(
            run_id=own, attempt=1, owner=True, started=started, part=part, failure=error
        )


def _found(
    started: RunStarted,
    part: Part,
    run_id: str | None,
    default_run_id: str | None,
    store: Catalogue | None,
) -> Identity:
    outer, handed = stack.enclosing(), look()
    parent = outer.id if outer is not None else handed.run_id if handed is not None else None
    named = run_id or (default_run_id if parent is None else None)
    ranks = launch() if parent is None or parent in _shared else None
    before = _find(named, store) if named is not None else None
    if named is not None:
        which = _named(named, ranks, before)
    elif ranks is not None:
        which = _of_launch(ranks, parent, store)
    else:
        before = _continued(store) if parent is None else None
        which = _named(before.id if before else new_run_id(datetime.now(UTC)), None, before)
    if ranks is not None:
        _shared.add(which[0])
    return Identity(
        run_id=which[0],
        attempt=which[1],
        owner=ranks is None or ranks.place.rank == 0,
        is_rank=ranks is not None,
        started=msgspec.structs.replace(started, parent_run_id=parent),
        part=part,
        open_elsewhere=ranks is None and before is not None and before.state is RunState.RUNNING,
        params=before.params if before is not None and before.attempts < which[1] else {},
    )


def misunderstood() -> str:
    """What the environment says of runs and launches that cannot be so; empty for nothing."""
    return ", ".join((*launches.unusable(), *handover.unusable()))


def _named(run_id: str, ranks: Launch | None, before: RunSummary | None) -> tuple[str, int]:
    """The next attempt at `run_id`; ranks other than 0 take part in the one that is there."""
    attempts = before.attempts if before is not None else 0
    if ranks is None:
        return run_id, attempts + 1
    others_began = before is not None and before.state is RunState.RUNNING
    if ranks.place.rank == 0 and not others_began:
        return run_id, attempts + 1
    return run_id, max(attempts, ranks.attempt)


def _of_launch(ranks: Launch, parent: str | None, store: Catalogue | None) -> tuple[str, int]:
    """The run that all ranks open now."""
    if parent is not None:
        return f"{parent}-{next(_children[parent])}", ranks.attempt
    global _next_number  # noqa: PLW0603 - how many runs this process has opened
    number = _next_number
    while _is_of_earlier_launch(_find(ranks.run_id(number), store), ranks):
        number += 1
    _next_number = number + 1
    return ranks.run_id(number), ranks.attempt


def _is_of_earlier_launch(run: RunSummary | None, ranks: Launch) -> bool:
    """Whether `run` was over before this process began, and this is no further attempt at it."""
    if run is None or run.state is RunState.RUNNING or run.attempts < ranks.attempt:
        return False
    begun = started_at()
    return begun is not None and run.ended_at is not None and run.ended_at < begun


def _continued(store: Catalogue | None) -> RunSummary | None:
    """The run that this job broke off when the scheduler stopped it."""
    job = restarted_job()
    if job is None or store is None:
        return None
    try:
        broken_off = [
            run
            for run in store.runs(limit=_RECENT)
            if run.state is RunState.INTERRUPTED
            and run.parent_run_id is None
            and _has_process(store, run.id, job)
        ]
    except InstrumentError:
        return None
    # Several: nobody can tell which of them this process goes on with.
    return broken_off[0] if len(broken_off) == 1 else None


def _has_process(store: Catalogue, run_id: str, job: str) -> bool:
    """Whether a process like this one, in the same job, recorded the run."""
    command = this_command()
    return any(
        isinstance(entry.record, ProcessStarted)
        and entry.record.scheduler.get("SLURM_JOB_ID") == job
        and entry.record.command == command
        for entry in store.entries(run_id)
    )


def _find(run_id: str, store: Catalogue | None) -> RunSummary | None:
    try:
        found = store.run(run_id) if store is not None else None
    except InstrumentError:
        return None
    return found if found is not None and found.id == run_id else None
