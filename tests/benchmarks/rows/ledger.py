"""What the ledger costs at a size that nobody reaches."""

from benchmarks.row import Entrant, Numbers, Row, Target, one_by_one
from benchmarks.workplace import Workplace


def _measure(place: Workplace, entrant: Entrant) -> Numbers:
    place.wipe("ledger", entrant.label)
    count = 1_000_000 if place.full else 100_000
    return place.run(entrant.environment, "ledger", entrant.label, str(count))


ROW = Row(
    name="ledger",
    title="100 000 entries into the ledger, and its root from them again (--full: 1 000 000)",
    entrants=(
        Entrant("floor", "floor"),
        Entrant("instrument", "instrument"),
    ),
    columns={"append_us": "append, us an entry", "root_us": "root, us an entry"},
    targets=(Target("root_us", "instrument", 5), Target("append_us", "instrument", 20)),
    measure=one_by_one(_measure),
    warm_up=False,
    most_rounds=3,
)
