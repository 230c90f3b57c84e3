"""What it costs to list what is installed."""

from benchmarks.row import Entrant, Numbers, Row, Target, one_by_one
from benchmarks.workplace import Workplace


def _measure(place: Workplace, entrant: Entrant) -> Numbers:
    return place.run(entrant.environment, "packages", entrant.label)


ROW = Row(
    name="packages",
    title="Name and version of 150 distributions, first call in a process, imports not counted",
    entrants=(
        Entrant("scan", "floor"),
        Entrant("importlib_metadata", "floor"),
        Entrant("pip_freeze", "floor"),
        Entrant("instrument", "instrument"),
    ),
    columns={"list_ms": "ms"},
    targets=(
        Target("list_ms", "instrument", 10),
        Target("list_ms", "instrument", 1.5, "scan"),
    ),
    measure=one_by_one(_measure),
)
