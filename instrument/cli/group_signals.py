"""Tells whether a signal was sent to the whole process group, or to one process of it.

Nothing in what a process gets with a signal says so. But a second process of the group that is
blocked for all signals keeps those that the group was sent, and only those: they stay pending, and
the system shows them. It is a `cat` that waits for a pipe of ours, so that it ends when we do.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

_PROGRAM: Final = "cat"
_PENDING: Final = ("ShdPnd:", "SigPnd:")


class Witness:
    """Watches the process group of this process. Where none can be had, it has seen nothing."""

    def __init__(self) -> None:
        self._pid = self._pipe = -1
        self._begin()

    def saw(self, number: int) -> bool:
        """Whether the group was sent signal `number` since this was last asked for it."""
        if not self._pending() & 1 << number - 1:
            return False
        old_pid, old_pipe = self._pid, self._pipe
        self._begin()  # what is pending cannot be taken from another process
        _end(old_pid, old_pipe)
        return True

    def close(self) -> None:
        """End it."""
        _end(self._pid, self._pipe)
        self._pid = self._pipe = -1

    def _begin(self) -> None:
        reading, self._pipe = os.pipe()
        nothing = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
        given = (os.POSIX_SPAWN_DUP2, reading, 0)
        try:
            self._pid = os.posix_spawnp(
                _PROGRAM,
                [_PROGRAM],
                {"PATH": os.environ.get("PATH", os.defpath)},
                file_actions=(given, nothing, (os.POSIX_SPAWN_DUP2, 1, 2)),
                setsigmask=signal.valid_signals(),
            )
        except OSError:
            self._pid = -1
        finally:
            os.close(reading)

    def _pending(self) -> int:
        """The signals that are pending for it, as bits."""
        try:
            lines = Path(f"/proc/{self._pid}/status").read_text("ascii", "replace").splitlines()
        except OSError:
            return 0
        words = (line.split() for line in lines if line.startswith(_PENDING))
        first, second = (int(word[1], 16) for word in words)
        return first | second


def _end(pid: int, pipe: int) -> None:
    if pipe >= 0:
        os.close(pipe)
    if pid >= 0:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
