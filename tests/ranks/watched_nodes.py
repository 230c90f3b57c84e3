"""Which ranks of a run watched the whole node, and which watched themselves alone."""

from instrument.protocols import Store
from instrument.records import ProcessStarted, TelemetrySampled


def watching(store: Store, run_id: str) -> tuple[set[int], set[int]]:
    """The ranks that have read the host, and all that have read anything."""
    rank_of: dict[str, int] = {}
    node: set[int] = set()
    itself: set[int] = set()
    for entry in store.entries(run_id):
        if isinstance(entry.record, ProcessStarted):
            rank_of[entry.writer] = entry.record.rank
        elif isinstance(entry.record, TelemetrySampled):
            itself.add(rank_of[entry.writer])
            if any(name.startswith("host.") for name in entry.record.values):
                node.add(rank_of[entry.writer])
    return node, itself
