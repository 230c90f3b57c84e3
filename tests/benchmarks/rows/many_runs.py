"""What a run costs where there are many."""

from benchmarks.row import Entrant, Numbers, Row, Target, one_by_one
from benchmarks.workplace import Workplace


def _measure(place: Workplace, entrant: Entrant) -> Numbers:
    place.wipe("many_runs", entrant.label)
    return place.run(entrant.environment, "many_runs", entrant.label, *entrant.arguments)


ROW = Row(
    name="many_runs",
    title="200 runs in one process (slow peers fewer), 10 params, 20 metrics each",
    entrants=(
        Entrant("floor", "floor", ("200",)),
        Entrant("floor_durable", "floor", ("200",)),
        Entrant("sacred", "sacred", ("200",)),
        Entrant("wandb", "wandb", ("20",), 3),
        Entrant("mlflow_file", "mlflow", ("50",), 3),
        Entrant("mlflow_sqlite", "mlflow", ("10",), 3),
        Entrant("trackio", "trackio", ("200",), 3),
        Entrant("instrument_basic", "instrument", ("200",)),
    ),
    columns={"ms_a_run": "ms a run", "files_a_run": "files", "kib_a_run": "KiB"},
    targets=(
        Target("ms_a_run", "instrument_basic", 4),
        Target("files_a_run", "instrument_basic", 3),
        Target("kib_a_run", "instrument_basic", 12),
    ),
    measure=one_by_one(_measure),
    warm_up=False,
)
