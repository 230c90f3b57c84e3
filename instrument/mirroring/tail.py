"""Reads the journals of a run, once or until the run has ended."""

import heapq
import time
from collections.abc import Iterator
from operator import attrgetter
from typing import Final

from instrument.protocols import Store
from instrument.records import Entry, ProcessFinished
from instrument.vocabulary import RunState

GRACE_SECONDS: Final = 5.0
"""How long journals that were not closed are waited for after the run has ended."""

REST_PER_WORK: Final = 20
"""Pauses last at least this many times as long as the reading before them took: about 5 % of one
core at most, however long the run is."""


class Tail:
    """Gives each entry of a run once, in time order; each journal stays in its own order."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._next: dict[str, int] = {}
        self._closed: set[str] = set()

    def fresh(self) -> list[Entry]:
        """The entries that were not there before."""
        journals: dict[str, list[Entry]] = {}
        for entry in self._store.entries(self._run_id):
            if entry.seq >= self._next.get(entry.writer, 0):
                journals.setdefault(entry.writer, []).append(entry)
        for writer, entries in journals.items():
            self._next[writer] = entries[-1].seq + 1
            if any(isinstance(entry.record, ProcessFinished) for entry in entries):
                self._closed.add(writer)
        return list(heapq.merge(*journals.values(), key=attrgetter("at")))

    def all_closed(self) -> bool:
        """Whether every journal seen so far was closed in order."""
        return self._closed >= self._next.keys()


def follow_run(store: Store, run_id: str, poll_seconds: float) -> Iterator[Entry]:
    """The entries of a run as they come, until it has ended or its owner is dead."""
    tail = Tail(store, run_id)
    news_at = time.monotonic()
    while True:
        began = time.monotonic()
        # Asked before reading: whatever was recorded before the end is then read too.
        running = store.run(run_id).state is RunState.RUNNING
        entries = tail.fresh()
        work_seconds = time.monotonic() - began
        if running or entries:
            news_at = began
        yield from entries
        if not running and (tail.all_closed() or began - news_at > GRACE_SECONDS):
            return
        time.sleep(max(poll_seconds, REST_PER_WORK * work_seconds))
