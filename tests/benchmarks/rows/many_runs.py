"""What a run costs where there are many."""

from benchmarks.row import Entrant, Numbers, Row, Target, one_by_one
from benchmarks.workplace import Workplace


def _measure(place: Workplace, entrant: Entrant) -> Numbers:
    place.wipe("many_runs", entrant.label)
    count = "2000" if place.full else "200"
    return place.run(entrant.environment, "many_runs", entrant.label, count)


ROW = Row(
    name="many_runs",
    title="200 runs in one process (2 000 with --full), 10 params and 20 metrics each",
    entrants=(
        Entrant("floor", "floor"),
        Entrant("sacred", "sacred"),
        Entrant("wandb", "wandb"),
        Entrant("mlflow_file", "mlflow"),
        Entrant("mlflow_sqlite", "mlflow"),
        Entrant("trackio", "trackio"),
        Entrant("instrument_basic", "instrument"),
    ),
    columns={"ms_a_run": "ms a run", "files_a_run": "files", "kb_a_run": "KB"},
    targets=(
        Target("ms_a_run", "instrument_basic", 4),
        Target("files_a_run", "instrument_basic", 3),
        Target("kb_a_run", "instrument_basic", 12),
    ),
    measure=one_by_one(_measure),
    warm_up=False,
)
