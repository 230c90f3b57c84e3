"""What a recorded call of a model costs beside the call."""

from benchmarks.row import Entrant, Numbers, Row, Target, one_by_one
from benchmarks.workplace import Workplace


def _measure(place: Workplace, entrant: Entrant) -> Numbers:
    place.wipe("generate_call", entrant.label)
    return place.run(entrant.environment, "generate_call", entrant.label, "1000000")


ROW = Row(
    name="generate_call",
    title="One call of `generate` that does nothing, of 1 000 000",
    entrants=(Entrant("bare", "floor"), Entrant("recorded", "instrument")),
    columns={"call_us": "µs", "journal_kb": "journal, kB"},
    targets=(Target("call_us", "recorded", 10), Target("journal_kb", "recorded", 100)),
    measure=one_by_one(_measure),
    warm_up=False,
    most_rounds=3,
)
