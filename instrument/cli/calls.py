"""``instrument runs calls``: the decorated calls of a run, with their arguments."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from instrument.cli.console import process_name
from instrument.cli.opening import Options, open_store, read_run
from instrument.cli.output import emit_json, say, show, table
from instrument.cli.words import duration, short_digests, value_text, visible
from instrument.protocols import Store
from instrument.records import CallFinished, CallStarted, ProcessStarted

if TYPE_CHECKING:
    from instrument.cli.output import Table

_MOST_SHOWN: Final = 200


class Call(msgspec.Struct, kw_only=True):
    """A call of a decorated function.

    Attributes:
        at: When it began, UTC.
        process: Whose it is: ``rank 1`` of a launch, ``pid 4711`` of other processes.
        call_id: Its number in the process.
        parent_call_id: The decorated call around it, or None.
        function: ``module:qualname``.
        source_digest: Digest of the source text of the function, or None.
        arguments: Summaries of the arguments by parameter name.
        outcome: ``returned``, ``raised`` or ``closed``; None when no end is recorded.
        duration_seconds: From call to end, by a monotonic clock; None as `outcome`.
    """

    at: datetime
    process: str
    call_id: int
    parent_call_id: int | None
    function: str
    source_digest: str | None
    arguments: dict[str, Any]
    outcome: str | None = None
    duration_seconds: float | None = None


@click.command("calls")
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@click.pass_obj
def run_calls(options: Options, run: str, as_json: bool) -> None:
    """Show the calls of decorated functions in a run: arguments, outcome, duration."""
    store = open_store(options)
    summary = read_run(store, run)
    found = calls(store, summary.id)
    if as_json:
        emit_json(found)
    elif found:
        show(_table(found[:_MOST_SHOWN]))
        if len(found) > _MOST_SHOWN:
            say(f"the first {_MOST_SHOWN} of {len(found)}; --json shows all")
    else:
        say(f"run {summary.id} has no call of a decorated function")


def calls(store: Store, run_id: str) -> list[Call]:
    """The decorated calls of a run, by time."""
    processes: dict[str, str] = {}
    found: dict[tuple[str, int], Call] = {}
    for entry in store.entries(run_id):
        match entry.record:
            case ProcessStarted() as process:
                processes[entry.writer] = process_name(process)
            case CallStarted() as started:
                found[entry.writer, started.call_id] = Call(
                    at=entry.at,
                    process=processes.get(entry.writer, entry.writer),
                    **msgspec.structs.asdict(started),
                )
            case CallFinished() as finished:
                call = found.get((entry.writer, finished.call_id))
                if call is not None:
                    call.outcome = finished.outcome
                    call.duration_seconds = finished.duration_seconds
    return sorted(found.values(), key=lambda call: call.at)


def _table(found: Sequence[Call]) -> "Table":
    headings = ["process", "function", "arguments", "outcome", "took"]
    rows = [
        [
            call.process,
            visible(call.function, 80),
            short_digests(_arguments(call)),
            call.outcome or "no end recorded",
            duration(call.duration_seconds),
        ]
        for call in found
    ]
    if len({call.process for call in found}) == 1:
        headings, rows = headings[1:], [row[1:] for row in rows]
    return table(headings, rows, numeric=("took",))


def _arguments(call: Call) -> str:
    given = sorted(call.arguments.items())
    return ", ".join(f"{name}={value_text(value, 60)}" for name, value in given)
