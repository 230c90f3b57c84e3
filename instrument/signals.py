"""SIGTERM, and SIGHUP of a terminal that is closed, end a run in order.

The run is closed as INTERRUPTED, then the signal does its work. The handler is chained in front of
the one that is there, from the main thread only, and put back at the end. Without it nothing would
be wrong, only less is known: a run whose process is gone counts as INTERRUPTED anyway.
"""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Final

from instrument import threads

DEADLINE_SECONDS: Final = 5.0
_ENDING: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)


def signal_name(number: int) -> str:
    """``SIGTERM``; of a signal without a name its number: ``signal 35``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class TerminationHook:
    """Calls `interrupted` on a signal that ends the process, then the previous handler.

    Args:
        interrupted: Closes the run; is told the name of the signal; must not raise.
    """

    def __init__(self, interrupted: Callable[[str], None]) -> None:
        self._interrupted = interrupted
        self._previous: dict[int, object] = {}
        self._pid = 0

    def install(self) -> None:
        """Put the hook in place; outside the main thread nothing happens."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._pid = os.getpid()
        for number in _ENDING:
            previous = signal.getsignal(number)
            if previous is signal.SIG_IGN or previous is None:
                continue  # ignored, as under nohup, or not ours to chain: it was installed from C
            self._previous[number] = previous
            signal.signal(number, self._handle)

    def remove(self) -> None:
        """Put the previous handlers back, but where somebody has installed another since."""
        if self._pid != os.getpid():
            return
        self._pid = 0
        if threading.current_thread() is not threading.main_thread():
            return
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, previous)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._pid == os.getpid():
            # In a thread, with a deadline: the interrupted code may hold a lock of ours.
            closing = threading.Thread(
                target=self._interrupted,
                args=(signal_name(number),),
                name="instrument-signal",
                daemon=True,
            )
            with suppress(RuntimeError, MemoryError):  # no thread: the signal does what it does
                threads.start(closing)
                closing.join(DEADLINE_SECONDS)
        previous = self._previous.get(number)
        if callable(previous):
            previous(number, frame)
            return
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
