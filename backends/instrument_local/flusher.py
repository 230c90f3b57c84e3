"""One background thread a process: syncs open journals each second, and tells that they live."""

import os
import threading
import time
from typing import Final, Protocol

from instrument import threads
from instrument_local.liveness import HEARTBEAT_SECONDS

INTERVAL_SECONDS: Final = 1.0


class Flushable(Protocol):
    """What the flusher looks after."""

    def tend(self, *, heartbeat: bool) -> None:
        """Make durable what was written, and tell that the process lives. Must not raise."""

    def disown(self) -> None:
        """In a forked child: never write to what is the parent's."""


class Flusher:
    """Looks after open journals from a daemon thread, which starts with the first of them."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may end the run
        self._journals: set[Flushable] = set()
        self._thread: threading.Thread | None = None

    def watch(self, journal: Flushable) -> None:
        """Look after `journal` until `forget`."""
        with self._lock:
            self._journals.add(journal)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="instrument-flush", daemon=True)
                try:
                    threads.start(thread)
                except (RuntimeError, MemoryError):  # no thread comes: `close` syncs
                    return
                self._thread = thread

    def forget(self, journal: Flushable) -> None:
        """Leave `journal` alone from now on."""
        with self._lock:
            self._journals.discard(journal)

    def after_fork(self) -> None:
        """In the child: what is open belongs to the parent, and threads do not survive a fork."""
        for journal in self._journals:
            journal.disown()
        self.__init__()  # type: ignore[misc]  # the lock may have been held

    def _run(self) -> None:
        next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
        while True:
            time.sleep(INTERVAL_SECONDS)
            beat = time.monotonic() >= next_heartbeat
            if beat:
                next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
            with self._lock:
                journals = list(self._journals)
            for journal in journals:
                journal.tend(heartbeat=beat)


flusher: Final = Flusher()
os.register_at_fork(after_in_child=flusher.after_fork)
