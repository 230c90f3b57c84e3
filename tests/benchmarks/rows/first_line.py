"""How long the user waits before the first line, by tier of capture and size of the repository."""

from collections.abc import Sequence

from benchmarks.row import Entrant, Numbers, Row, Target, one_by_one
from benchmarks.workplace import FILES, Workplace

MANY_FILES = 20_000
_TRACKERS = (
    ("bare", "floor"),
    ("sacred", "sacred"),
    ("wandb", "wandb"),
    ("instrument_basic", "instrument"),
    ("instrument_standard", "instrument"),
    ("instrument_complete", "instrument"),
)


def _measure(place: Workplace, entrants: Sequence[Entrant]) -> dict[str, Numbers]:
    numbers = one_by_one(_run)(place, entrants)
    for label, measured in numbers.items():
        bare = numbers["bare" + label[label.find(" ") :] if " " in label else "bare"]
        measured["added_ms"] = measured["before_ms"] - bare["before_ms"]
    return numbers


def _run(place: Workplace, entrant: Entrant) -> Numbers:
    tracker, files = entrant.arguments
    numbers = place.run(entrant.environment, "tracked_run", tracker, files=int(files))
    numbers["before_ms"] = (numbers["first_line"] - numbers["started"]) * 1000
    return numbers


def _label(tracker: str, files: int) -> str:
    return tracker if files == FILES else f"{tracker} 20k"


ROW = Row(
    name="first_line",
    title="Before the first line, in a repository of 1 000 files and in one of 20 000",
    entrants=tuple(
        Entrant(_label(tracker, files), environment, (tracker, str(files)))
        for files in (FILES, MANY_FILES)
        for tracker, environment in _TRACKERS
    ),
    columns={
        "before_ms": "before first line ms",
        "added_ms": "added ms",
        "cpu_seconds": "CPU s of the whole run",
    },
    targets=tuple(
        Target("before_ms", f"instrument_{level}{size}", 0.5, f"sacred{size}")
        for level in ("basic", "standard", "complete")
        for size in ("", " 20k")
    ),
    measure=_measure,
)
