"""One child process, as if it had been started by the shell: same terminal, same signals, same end.

Signals for the child are blocked in every thread and taken by one thread that passes them on. A
signal that the terminal sent has reached the child already, as it goes to the whole foreground
group; it is not passed on a second time.
"""

import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

FORWARDED: Final = frozenset(
    {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
)
INTERRUPTING: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
SIGNALLED: Final = 128
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
        self.interrupted = False
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
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else SIGNALLED - code

    def _forward(self) -> None:
        """Pass on what another process sent; runs in a thread."""
        while True:
            received = signal.sigwaitinfo(FORWARDED)
            number = signal.Signals(received.si_signo)
            has_it = received.si_code == _FROM_KERNEL and number not in self._early
            self._early.discard(number)
            with self._lock:
                if self._ended:
                    return
                self.interrupted |= number in INTERRUPTING
                if not has_it:
                    os.kill(self.pid, number)
