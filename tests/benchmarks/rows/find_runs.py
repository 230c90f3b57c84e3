"""What it takes to list runs, and to find some, where there are many: in a fresh process."""

from benchmarks.row import Entrant, Numbers, Row, Target, one_by_one
from benchmarks.workplace import Workplace

_AT_MOST_MS = 150 + 26  # beyond the start of the interpreter, as PERFORMANCE has it


def _measure(place: Workplace, entrant: Entrant) -> Numbers:
    tracker, what, count, full_count = entrant.arguments
    made = place.store("find_runs", tracker) / "made"
    if not made.exists():
        amount = full_count if place.full else count
        place.run(entrant.environment, "find_runs", tracker, "make", amount)
        made.touch()
    numbers = place.run(entrant.environment, "find_runs", tracker, what)
    return {**numbers, "cpu_ms": numbers["cpu_seconds"] * 1000}


def _both(label: str, environment: str, *counts: str) -> tuple[Entrant, Entrant]:
    return (
        Entrant(f"{label}_list", environment, (label, "list", *counts)),
        Entrant(f"{label}_where", environment, (label, "where", *counts)),
    )


ROW = Row(
    name="find_runs",
    title="List 50 of 2 000 runs (mlflow 500, aim 100; --full: 100 000, 10 000, 1 000), and find "
    "those with a param and a metric; fresh process",
    entrants=(
        Entrant("bare", "floor", ("bare", "list", "0", "0")),
        *_both("aim", "aim", "100", "1000"),
        *_both("mlflow_sqlite", "mlflow", "500", "10000"),
        *_both("instrument", "instrument", "2000", "100000"),
    ),
    columns={"wall_ms": "ms", "cpu_ms": "CPU ms", "peak_mb": "peak MB"},
    targets=(
        Target("wall_ms", "instrument_list", _AT_MOST_MS),
        Target("wall_ms", "instrument_where", _AT_MOST_MS),
    ),
    measure=one_by_one(_measure),
)
