"""One child process, as if it had been started by the shell: same terminal, same signals, same end.

Signals for the child are blocked in every thread and taken by one thread that passes them on. The
child stays in our process group, so that whoever ends the group ends it too. What the group was
sent, by a terminal, a scheduler or `kill -- -PGID`, has therefore reached the child already and is
not passed on a second time; nor is what comes to us alone at the same moment, as from `timeout`,
which signals its command and then the group.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from instrument.cli.group_signals import Witness

FORWARDED: Final = frozenset(
    {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
)
INTERRUPTING: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
SIGNALLED: Final = 128
_AT_ONCE_SECONDS: Final = 0.05
"""Signals of one number that come within it are one, as those that are pending are."""
_FROM_KERNEL: Final = 0x80  # SI_KERNEL of sigaction(2); kill(2) gives another
# Python ignores these; a program that the shell starts does not.
_DEFAULT_IN_CHILD: Final = (signal.SIGPIPE, signal.SIGXFSZ)


@contextmanager
def signals_held() -> Iterator[None]:
    """Keep the forwarded signals for the child, from before it exists until it has ended.

    To be entered before any thread is started: threads inherit what is blocked.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Child:
    """A running command.

    Args:
        command: The program, looked for on PATH, and its arguments.
        environment: Its environment.

    Raises:
        OSError: It could not be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._ended = False
        self._lock = threading.Lock()
        self.interrupted_by: int | None = None
        """The last signal that came for it and asks a program to end."""
        self.killed_by: int | None = None
        """The signal that ended it; None while it runs, and when it exited by itself."""
        self._witness = Witness()
        self._early = signal.sigpending() & FORWARDED  # sent before there was a child to get them
        self.pid = os.posix_spawnp(
            command[0], list(command), environment, setsigmask=(), setsigdef=_DEFAULT_IN_CHILD
        )

    def wait(self) -> int:
        """Wait for its end, passing signals on meanwhile; its exit code as the shell tells it."""
        threading.Thread(target=self._forward, name="instrument-signals", daemon=True).start()
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:  # from here on the number may belong to another process
            self._ended = True
            _, status = os.waitpid(self.pid, 0)
            self._witness.close()
        while late := signal.sigtimedwait(FORWARDED, 0):  # it was for the command: not for us now
            self._note(late.si_signo)
        if os.WIFSIGNALED(status):
            self.killed_by = os.WTERMSIG(status)
            return SIGNALLED + self.killed_by
        return os.WEXITSTATUS(status)

    def _forward(self) -> None:
        """Pass on what was sent to us alone; runs in a thread."""
        while True:
            received = signal.sigwaitinfo(FORWARDED)
            number = signal.Signals(received.si_signo)
            self._note(number)
            from_terminal = received.si_code == _FROM_KERNEL
            time.sleep(_AT_ONCE_SECONDS)
            while again := signal.sigtimedwait({number}, 0):
                from_terminal |= again.si_code == _FROM_KERNEL
            with self._lock:
                if self._ended:
                    return
                to_group = self._witness.saw(number) or from_terminal
                early = number in self._early
                self._early.discard(number)
                if early or not to_group or os.getpgid(self.pid) != os.getpgrp():
                    os.kill(self.pid, number)

    def _note(self, number: int) -> None:
        if number in INTERRUPTING:
            self.interrupted_by = number
