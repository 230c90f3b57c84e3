"""What the ledger costs at a size that nobody reaches."""

from benchmarks.row import Entrant, Numbers, Row, Target, one_by_one
from benchmarks.workplace import Workplace


def _measure(place: Workplace, entrant: Entrant) -> Numbers:
    place.wipe("ledger", entrant.label)
    return place.run(entrant.environment, "ledger", entrant.label, "1000000")


ROW = Row(
    name="ledger",
    title="1 000 000 entries into the ledger, its root from them again, and `ledger verify`",
    entrants=(
        Entrant("floor", "floor"),
        Entrant("instrument", "instrument"),
    ),
    columns={
        "append_us": "append, µs an entry",
        "root_us": "root, µs an entry",
        "verify_us": "verify, µs an entry",
        "peak_mb": "peak MB",
    },
    targets=(Target("root_us", "instrument", 5), Target("append_us", "instrument", 20)),
    measure=one_by_one(_measure),
    warm_up=False,
    most_rounds=2,
)
