"""What it takes to list runs, and to find some, where there are many: in a fresh process."""

import os
import sys
from collections.abc import Sequence

from benchmarks.environments import version_of
from benchmarks.row import Entrant, Numbers, Row, Target, one_by_one
from benchmarks.workplace import Workplace


def _measure(place: Workplace, entrants: Sequence[Entrant]) -> dict[str, Numbers]:
    numbers = one_by_one(_find)(place, entrants)
    bare = numbers["bare"]["wall_ms"]
    for measured in numbers.values():
        measured["beyond_ms"] = measured["wall_ms"] - bare
    return numbers


def _find(place: Workplace, entrant: Entrant) -> Numbers:
    tracker, what, count = entrant.arguments
    if count != "0":
        _make(place, entrant.environment, tracker, count)
    numbers = place.run(entrant.environment, "find_runs", tracker, what)
    return {**numbers, "cpu_ms": numbers["cpu_seconds"] * 1000}


def _make(place: Workplace, environment: str, tracker: str, count: str) -> None:
    """Make the store, unless the same version made one as large before."""
    made = place.store("find_runs", tracker) / "made.txt"
    wanted = f"{count} runs of {version_of(environment)}\n"
    if made.exists() and made.read_text() == wanted:
        return
    print(f"\nmaking {wanted.strip()}", file=sys.stderr)
    place.delete("find_runs", tracker)
    place.run(environment, "find_runs", tracker, "make", count)
    os.sync()
    made.write_text(wanted)


def _both(tracker: str, environment: str, count: str, rounds: int) -> tuple[Entrant, Entrant]:
    return (
        Entrant(f"{tracker}_list {count}", environment, (tracker, "list", count), rounds),
        Entrant(f"{tracker}_where {count}", environment, (tracker, "where", count), rounds),
    )


ROW = Row(
    name="find_runs",
    title="The last 50 of so many runs, and 50 with a param and a metric; fresh process",
    entrants=(
        Entrant("bare", "floor", ("bare", "list", "0")),
        *_both("aim", "aim", "1000", 2),  # it would index 100 000 for hours, into 40 GB
        *_both("mlflow_sqlite", "mlflow", "100000", 2),
        *_both("instrument", "instrument", "100000", 99),
    ),
    columns={
        "wall_ms": "ms",
        "beyond_ms": "beyond bare ms",
        "cpu_ms": "CPU ms",
        "peak_mb": "peak MB",
    },
    targets=(
        Target("beyond_ms", "instrument_list 100000", 150),
        Target("beyond_ms", "instrument_where 100000", 150),
    ),
    measure=_measure,
    warm_up=False,
)
