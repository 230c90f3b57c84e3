"""One background thread that does what it is given, in order, and never holds up the exit."""

import os
import queue
import threading
from collections.abc import Callable
from typing import Final

from instrument import threads
from instrument.guard import one_line, say


class Worker:
    """Does things one after another in a daemon thread, which starts with the first of them.

    What it is given should not raise; what does is told on stderr, and the thread goes on. Where no
    thread can be started (the interpreter is shutting down) it is done at once. A signal handler
    may call while the code that it interrupted does.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._queue: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        os.register_at_fork(after_in_child=self._reset)

    def submit(self, work: Callable[[], None]) -> None:
        """Do `work` when all that was submitted before is done."""
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="instrument-hash", daemon=True)
                try:
                    threads.start(thread)
                except (RuntimeError, MemoryError):
                    work()
                    return
                self._thread = thread
        self._queue.put(work)

    def _reset(self) -> None:
        """Begin anew; threads and what they hold do not survive a fork."""
        self._lock = threading.RLock()
        self._queue = queue.SimpleQueue()
        self._thread = None

    def _run(self) -> None:
        work_queue = self._queue
        while True:
            work = work_queue.get()
            try:
                work()
            except Exception as error:
                say(f"could not finish what was done beside a load: {one_line(error)}")


worker: Final = Worker()
