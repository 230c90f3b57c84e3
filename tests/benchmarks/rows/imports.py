"""What an import costs, in a fresh interpreter."""

from benchmarks.row import Entrant, Numbers, Row, Target, one_by_one
from benchmarks.workplace import Workplace


def _measure(place: Workplace, entrant: Entrant) -> Numbers:
    return place.run(entrant.environment, "imports", entrant.label)


ROW = Row(
    name="imports",
    title="Import, fresh interpreter",
    entrants=(
        Entrant("bare", "floor"),
        Entrant("sacred", "sacred"),
        Entrant("wandb", "wandb"),
        Entrant("mlflow", "mlflow"),
        Entrant("trackio", "trackio"),
        Entrant("dvclive", "dvclive"),
        Entrant("instrument", "instrument"),
        Entrant("instrument:ExperimentContext", "instrument"),
    ),
    columns={
        "wall_ms": "ms",
        "cpu_seconds": "CPU s",
        "modules": "modules",
        "peak_mb": "peak MB",
    },
    targets=(
        Target("wall_ms", "instrument", 2.2, "bare"),
        Target("wall_ms", "instrument:ExperimentContext", 2.2, "bare"),
        Target("peak_mb", "instrument", 18),
        Target("peak_mb", "instrument:ExperimentContext", 18),
    ),
    measure=one_by_one(_measure),
)
