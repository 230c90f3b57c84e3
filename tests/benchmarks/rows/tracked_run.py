"""What a trivial tracked run adds to a process."""

from collections.abc import Sequence

from benchmarks.row import Entrant, Numbers, Row, Target, one_by_one
from benchmarks.workplace import Workplace


def _measure(place: Workplace, entrants: Sequence[Entrant]) -> dict[str, Numbers]:
    numbers = one_by_one(_run)(place, entrants)
    bare = numbers["bare"]["wall_ms"]
    for measured in numbers.values():
        measured["added_ms"] = measured["wall_ms"] - bare
    return numbers


def _run(place: Workplace, entrant: Entrant) -> Numbers:
    numbers = place.run(entrant.environment, "tracked_run", entrant.label)
    numbers["before_ms"] = (numbers["first_line"] - numbers["started"]) * 1000
    numbers["after_ms"] = (numbers["ended"] - numbers["last_line"]) * 1000
    watched = place.start(entrant.environment, "tracked_run", entrant.label)
    of_the_tree = watched.peak_bytes() / 1e6
    numbers["peak_mb"] = max(of_the_tree, watched.wait()["peak_mb"])
    return numbers


ROW = Row(
    name="tracked_run",
    title="A trivial tracked run in a git repository of 1 000 files",
    entrants=(
        Entrant("bare", "floor"),
        Entrant("sacred", "sacred"),
        Entrant("wandb", "wandb"),
        Entrant("mlflow_file", "mlflow"),
        Entrant("mlflow_sqlite", "mlflow"),
        Entrant("trackio", "trackio"),
        Entrant("dvclive", "dvclive"),
        Entrant("instrument_basic", "instrument"),
        Entrant("instrument_standard", "instrument"),
    ),
    columns={
        "added_ms": "added ms",
        "before_ms": "before first line ms",
        "after_ms": "after last line ms",
        "cpu_seconds": "CPU s",
        "peak_mb": "peak MB of the tree",
    },
    targets=(
        Target("added_ms", "instrument_basic", 0.5, "sacred"),
        Target("added_ms", "instrument_standard", 0.8, "sacred"),
        Target("before_ms", "instrument_basic", 0.5, "sacred"),
        Target("before_ms", "instrument_standard", 0.5, "sacred"),
        Target("peak_mb", "instrument_basic", 30),
        Target("peak_mb", "instrument_standard", 30),
    ),
    measure=_measure,
)
