"""``instrument runs metrics | patch | cells | packages``: what one run left behind, in full."""

import csv
import io
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import click
import msgspec

from instrument.cli.opening import Options, open_store, read_run
from instrument.cli.output import emit, emit_json, say, show, table
from instrument.cli.words import value_text, visible
from instrument.errors import NotFoundError, UsageError
from instrument.protocols import Store
from instrument.records import CodeCaptured, RunStarted
from instrument.vocabulary import EnvironmentCaptureLevel

if TYPE_CHECKING:
    from instrument.cli.output import Table
    from instrument.past import Point


@click.command("metrics")
@click.argument("run")
@click.argument("names", nargs=-1, metavar="[NAME]…")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: points by name.")
@click.option("--csv", "as_csv", is_flag=True, help="Print one line a value: name,step,value,at.")
@click.pass_obj
def run_metrics(
    options: Options, run: str, names: tuple[str, ...], as_json: bool, as_csv: bool
) -> None:
    """Show how the metrics of a run went: all of them, or those of each NAME."""
    from instrument.past import history_of

    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other; use one")
    store = open_store(options)
    summary = read_run(store, run)
    history = _chosen(history_of(store, summary.id), names, summary.id)
    if as_json:
        emit_json({name: [_point(each) for each in points] for name, points in history.items()})
    elif as_csv:
        emit(_csv(history))
    elif history:
        show(_metrics_table(history))
    else:
        say(f"run {summary.id} logged no metric")


@click.command("patch")
@click.argument("run")
@click.pass_obj
def run_patch(options: Options, run: str) -> None:
    """Print what the code of a run differed in from its commit, for `git apply`."""
    store = open_store(options)
    summary = read_run(store, run)
    digest = patch_of(store, summary.id)
    if digest is None:
        raise NotFoundError(f"run {summary.id} has no patch: {_why_no_patch(store, summary.id)}")
    _write_object(store, digest)


@click.command("cells")
@click.argument("run")
@click.pass_obj
def run_cells(options: Options, run: str) -> None:
    """Print the cells that a notebook had executed when the run ended, without secrets."""
    store = open_store(options)
    summary = read_run(store, run)
    digest = _kept_of_code(store, summary.id, "cells")
    if digest is None:
        raise NotFoundError(
            f"run {summary.id} has no cells: it was no notebook, had capture level 1, or has not "
            "come to its end"
        )
    _write_object(store, digest)


@click.command("packages")
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: versions by name.")
@click.pass_obj
def run_packages(options: Options, run: str, as_json: bool) -> None:
    """Print the packages that a run had, as `name==version`."""
    store = open_store(options)
    summary = read_run(store, run)
    if summary.environment is None:
        raise NotFoundError(f"run {summary.id} has no snapshot of its environment")
    snapshot = msgspec.json.decode(store.get_bytes(summary.environment))
    packages: Mapping[str, str] = snapshot.get("packages") or {}
    if as_json:
        emit_json(packages)
        return
    for name in sorted(packages):
        emit(f"{visible(name)}=={visible(packages[name])}")


def _why_no_patch(store: Store, run_id: str) -> str:
    code = level = None
    for entry in store.entries(run_id):
        if isinstance(entry.record, CodeCaptured):
            code = entry.record
        elif isinstance(entry.record, RunStarted):
            level = entry.record.capture_level
    if code is None or code.git is None:
        return "its code is not known"
    if code.git.dirty and level == EnvironmentCaptureLevel.BASIC:
        return "its code was changed, but at capture level 1 no patch is made"
    return code.reason or "its code was clean"


def patch_of(store: Store, run_id: str) -> str | None:
    """The digest of the patch of a run's code, or None."""
    return _kept_of_code(store, run_id, "patch")


def _kept_of_code(store: Store, run_id: str, field: str) -> str | None:
    """The digest that the records of a run's code have last in `field`, or None."""
    digest = None
    for entry in store.entries(run_id):
        if isinstance(entry.record, CodeCaptured):
            digest = getattr(entry.record, field) or digest
    return digest


def _write_object(store: Store, digest: str) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(store.get_bytes(digest))


def _chosen(
    history: dict[str, list["Point"]], names: Sequence[str], run_id: str
) -> dict[str, list["Point"]]:
    for name in names:
        if name not in history:
            from difflib import get_close_matches

            close = get_close_matches(name, history, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(history) or '-'}"
            raise NotFoundError(f"run {run_id} has no metric {name!r}; {hint}")
    return {name: history[name] for name in names} if names else history


def _point(point: "Point") -> dict[str, object]:
    """A point as JSON, which has no NaN."""
    from instrument.canonical import plain_float

    return {"step": point.step, "value": plain_float(point.value), "at": point.at}


def _metrics_table(history: Mapping[str, Sequence["Point"]]) -> "Table":
    from instrument.cli.telemetry_page import sparkline

    rows = []
    for name, points in sorted(history.items()):
        values = [point.value for point in points]
        finite = [value for value in values if math.isfinite(value)]
        low, high = (value_text(one(finite)) if finite else "-" for one in (min, max))
        drawn = [value if math.isfinite(value) else None for value in values]
        curve = sparkline(drawn) if finite else ""
        odd = len(values) - len(finite)
        amount = f"{len(values)}, {odd} not finite" if odd else str(len(values))
        row = [visible(name, 60), amount, low, curve, high, value_text(values[-1])]
        rows.append(row)
    headings = ["metric", "values", "min", "", "max", "last"]
    return table(headings, rows, numeric=("values", "min", "last"))


def _csv(history: Mapping[str, Iterable["Point"]]) -> str:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["name", "step", "value", "at"])
    for name, points in history.items():
        writer.writerows([name, point.step, point.value, point.at] for point in points)
    return lines.getvalue().rstrip("\n")
