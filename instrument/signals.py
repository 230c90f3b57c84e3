"""SIGTERM ends a run in order: the run is closed as INTERRUPTED, then the signal does its work.

The handler is chained in front of the one that is there, from the main thread only, and put back
at the end. Without it nothing would be wrong, only less is known: a run whose process is gone
counts as INTERRUPTED anyway.
"""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

DEADLINE_SECONDS: Final = 5.0


def signal_name(number: int) -> str:
    """``SIGTERM``; of a signal without a name its number: ``signal 35``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class TerminationHook:
    """Calls `interrupted` on SIGTERM, then the previous handler.

    Args:
        interrupted: Closes the run; must not raise.
    """

    def __init__(self, interrupted: Callable[[], None]) -> None:
        self._interrupted = interrupted
        self._previous: object = None
        self._pid = 0

    def install(self) -> None:
        """Put the hook in place; outside the main thread nothing happens."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._previous = signal.getsignal(signal.SIGTERM)
        if self._previous is signal.SIG_IGN or self._previous is None:
            return  # ignored, or not ours to chain: it was installed from C
        self._pid = os.getpid()
        signal.signal(signal.SIGTERM, self._handle)

    def remove(self) -> None:
        """Put the previous handler back, unless somebody has installed another since."""
        if self._pid != os.getpid():
            return
        self._pid = 0
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) == self._handle:
            signal.signal(signal.SIGTERM, self._previous)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._pid == os.getpid():
            # In a thread, with a deadline: the interrupted code may hold a lock of ours.
            closing = threading.Thread(
                target=self._interrupted, name="instrument-sigterm", daemon=True
            )
            closing.start()
            closing.join(DEADLINE_SECONDS)
        if callable(self._previous):
            self._previous(number, frame)
            return
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
