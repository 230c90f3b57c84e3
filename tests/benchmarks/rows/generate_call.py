"""What a recorded call of a model costs beside the call."""

from benchmarks.row import Entrant, Numbers, Row, Target, one_by_one
from benchmarks.workplace import Workplace


def _measure(place: Workplace, entrant: Entrant) -> Numbers:
    count = "1000000" if place.full else "100000"
    place.wipe("generate_call", entrant.label)
    return place.run(entrant.environment, "generate_call", entrant.label, count)


ROW = Row(
    name="generate_call",
    title="One call of `generate` that does nothing, of 100,000 (--full: a million)",
    entrants=(Entrant("bare", "floor"), Entrant("recorded", "instrument")),
    columns={"call_us": "µs", "journal_kb": "journal, kB"},
    targets=(Target("call_us", "recorded", 10), Target("journal_kb", "recorded", 100)),
    measure=one_by_one(_measure),
    warm_up=False,
)
