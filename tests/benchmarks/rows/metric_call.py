"""What one metric costs, one call each."""

from benchmarks.row import Entrant, Numbers, Row, Target, one_by_one
from benchmarks.workplace import Workplace


def _measure(place: Workplace, entrant: Entrant) -> Numbers:
    place.wipe("metric_call", entrant.label)
    numbers = place.run(entrant.environment, "metric_call", entrant.label, *entrant.arguments)
    return {**numbers, "a_second": 1e6 / numbers["mean_us"]}


ROW = Row(
    name="metric_call",
    title="One metric, one call, and one record in the journal of who keeps one",
    entrants=(
        Entrant("floor", "floor", ("100000",)),
        Entrant("sacred", "sacred", ("100000",)),
        Entrant("wandb", "wandb", ("5000",), 3),
        Entrant("mlflow_file", "mlflow", ("2000",), 3),
        Entrant("mlflow_sqlite", "mlflow", ("100",), 3),
        Entrant("trackio", "trackio", ("20000",), 3),
        Entrant("dvclive", "dvclive", ("20000",), 3),
        Entrant("instrument_basic", "instrument", ("100000",)),
    ),
    columns={
        "mean_us": "mean µs",
        "p50_us": "p50 µs",
        "p99_us": "p99 µs",
        "a_second": "a second",
        "grown_mb": "grown MB",
        "peak_mb": "peak MB",
    },
    targets=(
        Target("p50_us", "instrument_basic", 2.5, "floor"),
        Target("mean_us", "instrument_basic", 2.5, "floor"),
        Target("grown_mb", "instrument_basic", 1),
    ),
    measure=one_by_one(_measure),
    warm_up=False,
)
