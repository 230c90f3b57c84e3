"""What a decorator costs on a function that does nothing."""

from benchmarks.row import Entrant, Numbers, Row, Target, one_by_one
from benchmarks.workplace import Workplace


def _measure(place: Workplace, entrant: Entrant) -> Numbers:
    place.wipe("decorated_call", entrant.label)
    return place.run(entrant.environment, "decorated_call", entrant.label, *entrant.arguments)


ROW = Row(
    name="decorated_call",
    title="One call of a decorated function that does nothing",
    entrants=(
        Entrant("plain", "floor", ("1000000",)),
        Entrant("closure", "floor", ("1000000",)),
        Entrant("wrapt", "floor", ("1000000",)),
        Entrant("sacred_capture", "sacred", ("100000",)),
        Entrant("mlflow_trace", "mlflow", ("40",)),
        Entrant("instrument_disabled", "instrument", ("1000000",)),
        Entrant("instrument_recorded", "instrument", ("20000",)),
    ),
    columns={"call_us": "µs"},
    targets=(
        Target("call_us", "instrument_disabled", 1.3, "wrapt"),
        Target("call_us", "instrument_recorded", 2, "sacred_capture"),
    ),
    measure=one_by_one(_measure),
    warm_up=False,
)
