"""``instrument runs``: list, show and compare runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from instrument.cli.calls import run_calls
from instrument.cli.console import run_console
from instrument.cli.deleting import delete_run
from instrument.cli.opening import Options, open_store, read_run, warn_if_unreadable
from instrument.cli.output import emit_json, say, show, state_text, table, write_text
from instrument.cli.run_results import (
    patch_of,
    run_cells,
    run_metrics,
    run_packages,
    run_patch,
)
from instrument.cli.words import (
    ago,
    by_interest,
    duration,
    json_text,
    moment,
    short_ids,
    value_text,
    visible,
)
from instrument.errors import UsageError
from instrument.protocols import Store
from instrument.query import value_of
from instrument.summary import UNRECORDED, RunSummary

if TYPE_CHECKING:
    from instrument.cli.output import Cell, Styled, Table
    from instrument.query import Condition

DEFAULT_LIMIT = 50
_MOST_METRICS = 3
_MOST_OF_NAME = 40
_MOST_FOR_HINTS = 200


@click.group()
def runs() -> None:
    """Show what was recorded."""


runs.add_command(delete_run)
runs.add_command(run_console)


@runs.command("list")
@click.option(
    "--where",
    metavar="EXPR",
    help="Only runs that meet it: \"params.lr<=0.1 and metrics.accuracy>0.9 and state=='FAILED'\".",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"How many at most. [default: {DEFAULT_LIMIT}; with --json all]",
)
@click.option(
    "--sort",
    metavar="[-]FIELD",
    help="Smallest first, with - (or FIELD:desc) largest: `--sort -metrics.accuracy --limit 1` is "
    "the best. Runs without it come last.",
)
@click.option(
    "--columns",
    metavar="FIELD,…",
    help="What to show of each run: params.lr,metrics.loss,state. With --json these alone.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@click.pass_obj
def list_runs(  # noqa: PLR0913 - one parameter for each option
    options: Options,
    where: str | None,
    limit: int | None,
    sort: str | None,
    columns: str | None,
    as_json: bool,
) -> None:
    """List runs, newest first or as sorted."""
    from instrument import past
    from instrument.query import parse, parse_field, parse_order

    fields = [parse_field(field.strip()) for field in columns.split(",")] if columns else []
    condition = parse(where) if where is not None else None
    if sort is not None:
        parse_order(sort)
    store = open_store(options)
    most = limit or DEFAULT_LIMIT
    found = past.runs(where, sort=sort, limit=limit if as_json else most + 1, store=store)
    lacks_some = warn_if_unreadable(store)
    if not found:
        none = (
            "no other run" if lacks_some else "no run yet; `instrument run -- COMMAND` records one"
        )
        what = "no run meets that" if where else none
        say(f"{what} (store {visible(store.location)})")
        if condition is not None:
            _say_hints(store, condition)
    elif sort is not None:
        _say_order_hint(found, parse_order(sort).field)
    if as_json:
        emit_json([_picked(run, fields) for run in found] if fields else found)
        return
    if not found:
        return
    show(runs_table(found[:most], fields))
    if len(found) > most and limit is None:
        say(f"the {'newest' if sort is None else 'first'} {most}; --limit N shows more")


def _picked(run: RunSummary, fields: Sequence[str]) -> dict[str, object]:
    """The `fields` of a run as its JSON has them, each by its dotted name."""
    return {
        field: value_of(run, field) if "." in field else getattr(run, field) for field in fields
    }


def _say_hints(store: Store, condition: "Condition") -> None:
    """Tell why nothing was found, where the condition shows it."""
    from instrument.query import Comparison
    from instrument.query.hints import fields_of, hints

    known = [*store.runs(limit=_MOST_FOR_HINTS)]
    for field in fields_of(condition):  # what only older runs have
        known += store.runs(Comparison(field, "!=", None), 1)
    for hint in hints(condition, known):
        say(f"hint: {visible(hint)}")


def _say_order_hint(found: Sequence[RunSummary], field: str) -> None:
    """Tell that the order is by a field that no run has."""
    from instrument.query.hints import order_hint

    hint = order_hint(field, found)
    if hint is not None:
        say(f"hint: {visible(hint)}")


@runs.command("show")
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def show_run(options: Options, run: str, as_json: bool) -> None:
    """Show one run: what ran, on what, and what came out."""
    store = open_store(options)
    summary = read_run(store, run)
    if as_json:
        from instrument.cli.checkpoints import checkpoints_of
        from instrument.cli.failure import traceback_of

        asdict = msgspec.structs.asdict
        saved = [asdict(each) for each in checkpoints_of(store, summary)]
        more = {"patch": patch_of(store, summary.id), "checkpoints": saved}
        emit_json({**asdict(summary), **more, "traceback": traceback_of(store, summary)})
        return
    from instrument.cli.run_page import run_page

    show(run_page(store, summary))


@runs.command("telemetry")
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: the columns.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "prometheus"]),
    help="csv: one line a sample. prometheus: the newest values, for a textfile collector.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Replace this file, whole at any moment, instead of printing.",
)
@click.pass_obj
def run_telemetry(
    options: Options, run: str, as_json: bool, form: str | None, output: Path | None
) -> None:
    """Plot what the hardware did while a run went on, also of one that still goes on."""
    if as_json and form:
        raise UsageError(f"--json and --format {form} exclude each other; use one")
    if output is not None and not (as_json or form):
        raise UsageError("--output needs --json or --format, which say what to write")
    from instrument.cli import telemetry_page as page
    from instrument.telemetry.columns import read_columns

    store = open_store(options)
    summary = read_run(store, run)
    columns = read_columns(store, summary.id)
    if as_json or form:
        if form == "prometheus":
            text = page.prometheus_text(summary, columns)
        else:
            text = page.csv_text(columns) if form == "csv" else json_text(columns) + "\n"
        write_text(text, output)
    elif columns.elapsed_seconds:
        show(page.telemetry_table(columns))
    else:
        say("no sample was taken; `instrument runs show` tells what the system counted")


@runs.command("diff")
@click.argument("a")
@click.argument("b")
@click.argument("more", nargs=-1, metavar="")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def diff_runs(options: Options, a: str, b: str, more: tuple[str, ...], as_json: bool) -> None:
    """Compare two runs: parameters, results, code, inputs, seeds, environment."""
    from instrument.cli.differences import compare, differences_page

    if more:
        raise UsageError(
            f"{2 + len(more)} runs are given, and two are compared at a time; many stand side by "
            "side in `instrument runs list --columns params.NAME,metrics.NAME`"
        )
    store = open_store(options)
    comparison = compare(store, read_run(store, a), read_run(store, b))
    if as_json:
        emit_json(comparison)
        return
    show(differences_page(comparison))


for _command in (run_calls, run_metrics, run_patch, run_cells, run_packages):
    runs.add_command(_command)


def runs_table(found: Sequence[RunSummary], fields: Sequence[str] = ()) -> "Table":
    """The table of `runs list`, with `fields` in place of what it shows by itself."""
    shown_ids = short_ids([run.id for run in found])
    columns: dict[str, list[Cell]] = {
        "run": [shown_ids[run.id] for run in found],
        "name": [run.name for run in found],
        "project": [run.project or "-" for run in found],
        "state": [_state(run) for run in found],
        "started": [moment(run.started_at) for run in found],
        "age": [ago(run.started_at) for run in found],
        "took": [duration(run.duration_seconds) for run in found],
        "params": [_first(run.params) for run in found],
        "metrics": [_first(run.metrics) for run in found],
    }
    if fields:
        shown: dict[str, list[Cell]] = {
            field: [_field_text(run, field) for run in found] for field in fields
        }
        columns = {"run": columns["run"], "name": columns["name"], **shown}
        return table(list(columns), zip(*columns.values(), strict=True))
    if not any(run.params for run in found):
        del columns["params"]
    if not any(run.project for run in found):
        del columns["project"]
    return table(
        list(columns),
        zip(*columns.values(), strict=True),
        numeric=("took",),
        cut="metrics",
        spare=("params", "started", "took", "project", "age"),
    )


def _state(run: RunSummary) -> "Styled":
    """The state, and what ended the run from outside."""
    state = state_text(run.state)
    if not run.ended_by:
        return state
    how = "no end recorded" if run.ended_by == UNRECORDED else run.ended_by
    return msgspec.structs.replace(state, text=f"{state.text} ({how})")


def _first(values: Mapping[str, object]) -> str:
    """A few parameters or metrics, and how many more there are."""
    texts = [
        f"{visible(name, _MOST_OF_NAME)} {value_text(values[name], _MOST_OF_NAME)}"
        for name in by_interest(values)[:_MOST_METRICS]
    ]
    more = [f"+{len(values) - _MOST_METRICS}"] if len(values) > _MOST_METRICS else []
    return "  ".join(texts + more)


def _field_text(run: RunSummary, field: str) -> str:
    value = value_of(run, field)
    return "-" if value is None else value_text(value)
