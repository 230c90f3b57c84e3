"""The page of ``instrument runs show``."""

import shlex
import signal
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

import msgspec

from instrument.cli.checkpoints import about, checkpoints_of
from instrument.cli.child import SIGNALLED
from instrument.cli.environment_page import headline
from instrument.cli.failure import drawn, traceback_of
from instrument.cli.hardware import hardware_table, value_of
from instrument.cli.output import facts, section, state_text, table, text
from instrument.cli.words import (
    ago,
    by_interest,
    count,
    duration,
    listed,
    moment,
    short_digest,
    value_text,
    visible,
)
from instrument.errors import InstrumentError
from instrument.protocols import Store
from instrument.records import CodeCaptured
from instrument.signals import signal_name
from instrument.summary import UNRECORDED, RunSummary

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

_MOST_LINES = 40
_MOST_OF_LINES = 80
_ENDINGS: Final = {
    UNRECORDED: "unknown: no end was recorded; what records the run was killed (kill -9, "
    "no memory), the machine died, or there was no room left to tell",
    "KeyboardInterrupt": "KeyboardInterrupt: Ctrl-C, or SIGINT",
}


def run_page(store: Store, run: RunSummary) -> "Group":
    """Everything about `run` that a person wants first, in the order they want it."""
    from rich.console import Group
    from rich.text import Text

    code = _captured_code(store, run)
    pages: list[RenderableType] = [_heading(run), Text(), facts(_fact_lines(store, run, code))]
    for title, page in _sections(store, run, _lacking(store, run, code)):
        pages += [Text(), *section(title, page)]
    return Group(*pages)


def command_line(command: Iterable[str]) -> str:
    r"""A command on one line, quoted for a shell; an argument of several lines is cut.

    >>> print(command_line(["python", "-c", "import a\nb()", "x y"]))
    python -c $'import a\nb()' 'x y'
    """
    return " ".join(map(_quoted, command))


def _quoted(argument: str) -> str:
    if visible(argument, len(argument)) == argument:
        return shlex.quote(argument)
    more = "…" if len(argument) > _MOST_OF_LINES else ""
    escaped = argument[:_MOST_OF_LINES].replace("\\", r"\\").replace("'", r"\'")
    return f"$'{visible(escaped)}{more}'"


def _heading(run: RunSummary) -> "RenderableType":
    from rich.text import Text

    when = (
        f"{moment(run.started_at)} ({ago(run.started_at)}), took {duration(run.duration_seconds)}"
    )
    if run.attempts > 1:
        when += f" in {run.attempts} attempts"
    if run.ended_at is None:
        when = f"{moment(run.started_at)} ({ago(run.started_at)})"
    name = text(run.name or "(no name)", "bold")
    state = state_text(run.state).drawn()
    return Text.assemble(state, "  ", name, "  ", text(run.id, "dim"), "\n", when)


def _fact_lines(
    store: Store, run: RunSummary, code: CodeCaptured | None
) -> Iterator[tuple[str, str]]:
    """What is told in one line each; facts that the run does not have are left out."""
    if run.exception:
        yield "exception", f"{run.exception.get('type')}: {run.exception.get('message')}"
    if run.ended_by:
        yield "ended by", _ENDINGS.get(run.ended_by, run.ended_by)
    if run.exit_code is not None:
        yield "exit code", _exit_code(run.exit_code)
    yield "command", command_line(run.command) or "-"
    if run.function:
        yield "function", run.function
    yield "code", _code(run, code)
    for label, value in (
        ("project", run.project),
        ("tags", listed(run.tags)),
        ("parent run", run.parent_run_id),
        ("session", run.session_id),
    ):
        if value:
            yield label, value
    processes = f", {run.rank_count} processes" if run.rank_count > 1 else ""
    attempts = f", attempt {run.attempts}" if run.attempts > 1 else ""
    yield "host", f"{run.host or '-'}{processes}{attempts}"
    yield "seeds", _seeds(run.seeds)
    yield "environment", _environment(store, run)


def _exit_code(code: int) -> str:
    """The code, and the signal that a shell means by it."""
    is_signal = code - SIGNALLED in signal.valid_signals()
    return f"{code} (as of {signal_name(code - SIGNALLED)})" if is_signal else str(code)


def _sections(
    store: Store, run: RunSummary, lacking: str
) -> Iterator[tuple[str, "RenderableType"]]:
    if traceback := traceback_of(store, run):
        yield "traceback", drawn(traceback)
    if run.params:
        yield "params", _values(run.params)
    if run.metrics:
        yield "metrics (last values)", _values(run.metrics)
    if run.inputs or run.outputs:
        yield "inputs → outputs", _flow(run, about(checkpoints_of(store, run)))
    if run.models or run.data:
        from instrument.cli.loads_page import loads_table

        yield "loaded", loads_table(run.models or [], run.data or [])
    if run.generations:
        from instrument.cli.generations_page import generations_table

        yield "calls of models", generations_table(run.generations)
    if run.telemetry.get("readings"):
        yield "hardware", hardware_table(run.telemetry["readings"], run.duration_seconds)
    if run.telemetry.get("phases"):
        from instrument.cli.telemetry_page import phases_table

        yield "phases", phases_table(run.telemetry["phases"])
    if run.telemetry.get("energy"):
        yield "energy", _energy(run.telemetry["energy"])
    yield "recording", _recording(run, lacking)


def _values(values: Mapping[str, Any]) -> "RenderableType":
    """Names and values; long lists are cut, and say so."""
    names = by_interest({name: values[name] for name in sorted(values)})
    lines = [
        (visible(name, _MOST_OF_LINES), value_text(values[name])) for name in names[:_MOST_LINES]
    ]
    if len(names) > _MOST_LINES:
        lines.append(("…", f"and {len(names) - _MOST_LINES} more; --json shows all"))
    return facts(lines)


def _energy(energy: Mapping[str, Any]) -> "RenderableType":
    """Joules and how they are known; grams where the user told what a kilowatt-hour stands for."""
    lines = [
        (part, f"{value_of('_joules', energy[f'{part}_joules'])} ({energy[f'{part}_source']})")
        for part in ("gpu", "cpu")
        if f"{part}_joules" in energy
    ]
    if "gco2e" in energy:
        grid = f"at {energy['grid_gco2e_per_kwh']:g} g a kWh, as you told"
        lines.append(("CO2e", f"{energy['gco2e']:.3g} g ({grid})"))
    return facts(lines)


def _flow(run: RunSummary, checkpoints: Mapping[str, str]) -> "RenderableType":
    """What was used, what was made, and the metrics that checkpoints were saved with."""
    told = [checkpoints.get(ref, "") for ref in run.outputs]
    columns = [run.inputs or ["-"], run.outputs or ["-"], *([told] if any(told) else [])]
    headings = ["used", "made", "saved with"][: len(columns)]
    return table(headings, zip_longest(*columns, fillvalue=""))


def _code(run: RunSummary, captured: CodeCaptured | None) -> str:
    """Branch, commit, and whether it was changed; or why nobody knows."""
    cells = _cells(run, captured)
    if run.git is None:
        why = f": {captured.reason}" if captured and captured.reason else ""
        return f"unknown{why}{cells}"
    commit = run.git.commit[:12] if run.git.commit else "no commit yet"
    branch = run.git.branch or "detached"
    changed = {True: "with uncommitted changes", False: "clean", None: "changes unknown"}
    kept = ", kept as a patch" if captured and captured.patch else ""
    return f"{branch} @ {commit}, {changed[run.git.dirty]}{kept}{cells}"


def _cells(run: RunSummary, captured: CodeCaptured | None) -> str:
    """Whether what a notebook executed is kept; that is done when the run ends."""
    if captured is None or captured.cells is None:
        return ""
    if not captured.cells:
        is_open = run.state == "RUNNING"
        return f", cells of the notebook {'are kept at its end' if is_open else 'not kept'}"
    why = f" ({captured.reason})" if run.git and captured.reason else ""
    return f", cells of the notebook kept{why}"


def _captured_code(store: Store, run: RunSummary) -> CodeCaptured | None:
    """The last record about the code; in an attempt, the background makes the last."""
    last = None
    for entry in store.entries(run.id):
        if isinstance(entry.record, CodeCaptured):
            last = entry.record
            has_remotes = last.git is not None and last.git.remotes is not None
            is_whole = has_remotes or last.manifest is not None
            if run.attempts == 1 and is_whole and last.cells != "":
                break
    return last


def _lacking(store: Store, run: RunSummary, code: CodeCaptured | None) -> str:
    """What the record of the code lacks: files, secrets in others, cells; empty for nothing."""
    cells = _cells(run, code).removeprefix(", ") if code and code.cells == "" else ""
    return ", ".join(filter(None, (_lacking_files(store, code), cells)))


def _lacking_files(store: Store, code: CodeCaptured | None) -> str:
    if code is None or code.manifest is None:
        return ""
    from instrument.capture.manifest import read_manifest

    try:
        manifest = read_manifest(store.get_bytes(code.manifest))
    except InstrumentError:  # `verify` says what is wrong with it
        return ""
    found = {
        "code left out": len(manifest.left_out),
        "secrets removed from the code": sum(bool(file.redacted) for file in manifest.files),
    }
    return ", ".join(f"{what}: {count(files, 'file')}" for what, files in found.items() if files)


def _seeds(seeds: Mapping[str, Any] | None) -> str:
    if not seeds:
        return "not known"
    if seeds.get("seed") is None:
        states = listed(seeds.get("states", {}))
        found = f"none set by instrument; random states at the start: {states or 'not known'}"
        own = seeds.get("flags", {}).get("torch.initial_seed")
        if own is not None and "torch" not in seeds.get("given", {}):
            found += f"; torch has {own}"
    else:
        found = f"{seeds['seed']}"
        found += f", set in {listed(seeds['set_in'])}" if seeds.get("set_in") else ""
    by_program = [_given(*each) for each in seeds.get("given", {}).items()]
    return f"{found}; the program gave {', '.join(by_program)}" if by_program else found


def _given(library: str, given: Mapping[str, Any]) -> str:
    seed = given["seed"] if given["seed"] is not None else f"a seed not known ({given['reason']})"
    often = f" (the last of {given['calls']})" if given["calls"] > 1 else ""
    return f"{library} {seed}{often}"


def _environment(store: Store, run: RunSummary) -> str:
    """Digest and headline of the snapshot."""
    if run.environment is None:
        return "not captured"
    try:
        snapshot = msgspec.json.decode(store.get_bytes(run.environment))
    except InstrumentError as error:
        return f"{short_digest(run.environment)} ({error})"
    return ", ".join(filter(None, (headline(snapshot), short_digest(run.environment))))


def _recording(run: RunSummary, lacking: str) -> "RenderableType":
    """How whole the record is, and what it cost."""
    from rich.text import Text

    recording = run.recording
    if recording.complete and lacking:
        verdict = text(f"complete, but {lacking}", "yellow")
    elif recording.complete:
        verdict = text("complete", "green")
    elif run.state == "RUNNING":
        verdict = text("the run is still open", "cyan")
    else:
        verdict = text("not complete", "yellow")
    lines = Text.assemble(verdict, _costs(recording.overhead))
    for line in (*recording.problems, *(f"note: {note}" for note in recording.notes)):
        lines.append("\n").append_text(text(f"- {line}"))
    return lines


def _costs(overhead: Mapping[str, float]) -> str:
    """What recording cost: how long the user's code waited, CPU time, and the parts of the wait."""
    if "blocking_seconds" not in overhead:
        return ""
    told = f"; it cost: blocking {duration(overhead['blocking_seconds'])}"
    if overhead.get("blocking_share", 1) < 1:  # more is waited for before and after the run itself
        told += f" ({100 * overhead['blocking_share']:.1f} % of the time)"
    if "cpu_seconds" in overhead:
        told += f", CPU {duration(overhead['cpu_seconds'])}"
    ending = "_blocking_seconds"
    parts = sorted(
        ((seconds, name) for name, seconds in overhead.items() if name.endswith(ending)),
        reverse=True,
    )
    listed_parts = (f"{name.removesuffix(ending)} {duration(seconds)}" for seconds, name in parts)
    return f"{told} [{', '.join(listed_parts)}]" if parts else told
