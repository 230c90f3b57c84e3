"""``instrument runs console``: what a run printed."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import click
import msgspec

from instrument.cli.opening import Options, open_store, read_run
from instrument.cli.output import emit, emit_json, say
from instrument.cli.words import visible
from instrument.protocols import Store
from instrument.records import ConsoleWritten, ProcessStarted

_MAX_LINE: Final = 10_000


class Printed(msgspec.Struct, frozen=True):
    """Lines that one process printed.

    Attributes:
        at: When they were recorded, UTC: within about a second of the printing.
        process: Whose they are: ``rank 1`` of a launch, ``pid 4711`` of other processes.
        stream: ``stdout`` or ``stderr``.
        text: The lines, secrets removed.
        omitted_characters: How much of this process is left out before them.
    """

    at: datetime
    process: str
    stream: str
    text: str
    omitted_characters: int


@click.command("console")
@click.argument("run")
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Only this one.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@click.pass_obj
def run_console(options: Options, run: str, stream: str | None, as_json: bool) -> None:
    """Print what a run printed, also of one that still goes on."""
    store = open_store(options)
    summary = read_run(store, run)
    found = [part for part in printed(store, summary.id) if stream in (None, part.stream)]
    if as_json:
        emit_json(found)
    elif found:
        for line in _lines(found):
            emit(line)
    else:
        say(
            "nothing is recorded that this run printed; kept is what Python prints once it opens a "
            "run or imports a library that is watched"
        )


def printed(store: Store, run_id: str) -> list[Printed]:
    """What the processes of a run printed, by time."""
    processes: dict[str, str] = {}
    found = []
    for entry in store.entries(run_id):
        if isinstance(entry.record, ProcessStarted):
            processes[entry.writer] = process_name(entry.record)
        elif isinstance(entry.record, ConsoleWritten):
            part = entry.record
            whose = processes.get(entry.writer, entry.writer)
            found.append(Printed(entry.at, whose, part.stream, part.text, part.omitted_characters))
    return sorted(found, key=lambda part: part.at)


def process_name(started: ProcessStarted) -> str:
    """``rank 1`` of a launch, ``pid 4711`` of other processes."""
    return f"rank {started.rank}" if started.world_size > 1 else f"pid {started.pid}"


def _lines(found: list[Printed]) -> Iterator[str]:
    """The lines, with the process before each where there are several."""
    is_one = len({part.process for part in found}) == 1
    for begun, part in _joined(found):
        if part.omitted_characters:
            yield f"[... {part.omitted_characters} characters]"
        for line in begun.removesuffix("\n").split("\n"):
            shown = "\t".join(visible(cell, _MAX_LINE) for cell in line.split("\t"))
            yield shown if is_one else f"{part.process}: {shown}"


def _joined(found: list[Printed]) -> Iterator[tuple[str, Printed]]:
    """Whole lines: parts that end amid one, and states of a line that others overwrote, joined."""
    begun: dict[tuple[str, str], str] = {}
    last = {(part.process, part.stream): part for part in found}
    for part in found:
        key = part.process, part.stream
        before = begun.pop(key, "")
        text = part.text if before.endswith("\r") else before + part.text
        whole, newline, rest = text.rpartition("\n")
        if newline:
            yield whole, part
        begun[key] = rest
    for key, rest in begun.items():
        if rest:
            yield rest.rstrip("\r"), last[key]
