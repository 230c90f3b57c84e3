"""What was recorded, asked from Python: runs, one run, and how a metric went.

best = instrument.runs("metrics.accuracy > 0.9", sort="-metrics.accuracy", limit=1)
for point in instrument.metric_history("latest")["loss"]:
    print(point.step, point.value)
"""

from pathlib import Path
from typing import Final

import msgspec

from instrument import registry, settings
from instrument.canonical import float_from_plain
from instrument.clock import SystemClock
from instrument.errors import NotFoundError
from instrument.guard import say
from instrument.protocols import Store
from instrument.protocols.sealing import changes
from instrument.query import Comparison, in_order, parse, parse_order
from instrument.records import Metrics
from instrument.summary import RunSummary

_MOST_SHOWN: Final = 5


class Point(msgspec.Struct, frozen=True):
    """One logged value of a metric.

    Attributes:
        step: The step it was logged at, or None.
        value: The value; NaN and the infinities are floats here.
        at: When it was logged, ISO 8601 in UTC.
    """

    step: int | None
    value: float
    at: str


def runs(
    where: str | None = None,
    *,
    sort: str | None = None,
    limit: int | None = None,
    store: str | Path | Store | None = None,
) -> list[RunSummary]:
    """Runs that meet `where`, newest first or in the order of `sort`.

    Args:
        where: An expression (see docs/commands.md), such as ``"params.lr <= 0.1"``.
        sort: A field, such as ``metrics.loss``, or ``-metrics.accuracy`` for the largest first
            (``metrics.accuracy:desc`` means the same). Runs that do not have it come last.
        limit: How many at most.
        store: The store, or its directory; the one that the settings name by default.

    Raises:
        QueryError: `where` or `sort` does not parse.
        StoreError: The store cannot be read.
    """
    condition = parse(where) if where is not None else None
    if sort is None:
        return _opened(store).runs(condition, limit)
    order = parse_order(sort)
    return in_order(_opened(store).runs(condition), order)[:limit]


def run(selector: str = "latest", *, store: str | Path | Store | None = None) -> RunSummary:
    """The run that `selector` means.

    Args:
        selector: Its id, or how that alone begins; ``latest`` for the newest run; or its name,
            where no other run has it.
        store: As for `runs`.

    Raises:
        NotFoundError: No run, or several.
        StoreError: The store cannot be read.
    """
    return selected(_opened(store), selector)


def selected(store: Store, selector: str) -> RunSummary:
    """`run`, of an open store.

    Raises:
        NotFoundError: No run, or several.
    """
    try:
        return store.run(selector)
    except NotFoundError:
        found = named(store, selector)
        if found is None:
            raise
        return found


def named(store: Store, name: str) -> RunSummary | None:
    """The one run of this name; None when there is none.

    Raises:
        NotFoundError: There are several.
    """
    found = store.runs(Comparison("name", "==", name), _MOST_SHOWN + 1) if name else []
    if len(found) > 1:
        more = ", …" if len(found) > _MOST_SHOWN else ""
        ids = ", ".join(run.id for run in found[:_MOST_SHOWN])
        raise NotFoundError(f"{name!r} is the name of several runs, use an id: {ids}{more}")
    return found[0] if found else None


def metric_history(
    selector: str = "latest", *, store: str | Path | Store | None = None
) -> dict[str, list[Point]]:
    """All values of each metric of a run, in the order in which they were logged.

    That the journal was changed after the run was sealed is told on stderr.

    Args:
        selector: As for `run`.
        store: As for `runs`.

    Raises:
        NotFoundError: No run, or several.
        StoreError: The store cannot be read.
    """
    opened = _opened(store)
    run_id = selected(opened, selector).id
    for change in changes(opened, run_id):
        say(f"warning: {change}")
    return history_of(opened, run_id)


def history_of(store: Store, run_id: str) -> dict[str, list[Point]]:
    """`metric_history`, of a run by its id; nothing is told on stderr."""
    logged = [
        (entry.at, entry.record)
        for entry in store.entries(run_id)
        if isinstance(entry.record, Metrics)
    ]
    history: dict[str, list[Point]] = {}
    for at, record in sorted(logged, key=lambda pair: pair[0]):
        for name, value in record.values.items():
            point = Point(record.step, float_from_plain(value), at.isoformat())
            history.setdefault(name, []).append(point)
    return history


def _opened(store: str | Path | Store | None) -> Store:
    if isinstance(store, Store):
        return store
    return registry.open_store("local", settings.resolve(store=store).store, SystemClock())
