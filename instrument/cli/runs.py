"""``instrument runs``: list, show and compare runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from instrument.cli.opening import Options, find_run, open_store
from instrument.cli.output import emit_json, is_narrow, say, show, state_text, table, write_text
from instrument.cli.words import ago, duration, json_text, moment, short_ids, value_text, visible
from instrument.errors import UsageError
from instrument.summary import RunSummary

if TYPE_CHECKING:
    from rich.table import Table

    from instrument.cli.output import Cell

DEFAULT_LIMIT = 50
_MOST_METRICS = 3


@click.group()
def runs() -> None:
    """Show what was recorded."""


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
    help=f"How many at most, newest first. [default: {DEFAULT_LIMIT}; with --json all]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@click.pass_obj
def list_runs(options: Options, where: str | None, limit: int | None, as_json: bool) -> None:
    """List runs, newest first."""
    from instrument.query import parse

    condition = parse(where) if where is not None else None
    store = open_store(options)
    if as_json:
        emit_json(store.runs(condition, limit))
        return
    most = limit or DEFAULT_LIMIT
    found = store.runs(condition, most + 1)
    if not found:
        what = (
            "no run meets that" if where else "no run yet; `instrument run -- COMMAND` records one"
        )
        say(f"{what} (store {visible(store.location)})")
        return
    show(runs_table(found[:most]))
    if len(found) > most and limit is None:
        say(f"the newest {most}; --limit N shows more")


@runs.command("show")
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def show_run(options: Options, run: str, as_json: bool) -> None:
    """Show one run: what ran, on what, and what came out."""
    store = open_store(options)
    summary = find_run(store, run)
    if as_json:
        emit_json(summary)
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
    summary = find_run(store, run)
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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def diff_runs(options: Options, a: str, b: str, as_json: bool) -> None:
    """Compare two runs: parameters, results, code, inputs, seeds, environment."""
    from instrument.cli.differences import compare, differences_page

    store = open_store(options)
    comparison = compare(store, find_run(store, a), find_run(store, b))
    if as_json:
        emit_json(comparison)
        return
    show(differences_page(comparison))


def runs_table(found: Sequence[RunSummary]) -> "Table":
    """The table of `runs list`."""
    shown_ids = short_ids([run.id for run in found])
    columns: dict[str, list[Cell]] = {
        "run": [shown_ids[run.id] for run in found],
        "name": [run.name for run in found],
        "project": [run.project or "-" for run in found],
        "state": [state_text(run.state) for run in found],
        "started": [moment(run.started_at) for run in found],
        "age": [ago(run.started_at) for run in found],
        "took": [duration(run.duration_seconds) for run in found],
        "metrics": [_first_metrics(run) for run in found],
    }
    if not any(run.project for run in found):
        del columns["project"]
    if is_narrow():
        del columns["started"]
    return table(
        list(columns), zip(*columns.values(), strict=True), numeric=("took",), cut="metrics"
    )


def _first_metrics(run: RunSummary) -> str:
    """A few metrics and how many more there are."""
    texts = [f"{name} {value_text(value)}" for name, value in run.metrics.items()]
    more = [f"+{len(texts) - _MOST_METRICS}"] if len(texts) > _MOST_METRICS else []
    return "  ".join(texts[:_MOST_METRICS] + more)
