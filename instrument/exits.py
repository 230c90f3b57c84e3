"""The end of a process: what is to be done there, and whether `sys.exit` brought it about.

In a program whose run is closed only at its end nobody sees what ended it: an interpreter tells
`atexit` functions nothing of a `SystemExit`. So while such a run is open, `sys.exit` gives each
exception that it raises a mark, and what becomes of the mark tells the rest: it dies with the
exception, inside some frame if the exception was caught, under none at all when the interpreter
itself took it to end the process. ``raise SystemExit`` is not seen.
"""

import atexit
import functools
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NoReturn

_exit: Final = sys.exit
_ended_by: SystemExit | None = None


class _Mark:
    """Dies with the exception that it was given to.

    Args:
        code: What `sys.exit` was called with.
    """

    def __init__(self, code: object) -> None:
        self._code = code

    def __del__(self) -> None:
        global _ended_by  # noqa: PLW0603 - one process has one end
        in_main = threading.get_ident() == threading.main_thread().ident
        if in_main and sys._getframe().f_back is None:  # noqa: SLF001 - other ways cost an import
            _ended_by = SystemExit(self._code)


@functools.wraps(_exit)
def _marking(status: Any = None, /) -> NoReturn:
    try:
        _exit(status)
    except SystemExit as raised:
        raised._instrument = _Mark(raised.code)  # type: ignore[attr-defined] # noqa: SLF001
        raise


def watch() -> None:
    """See from now on with what `sys.exit` ends this process. Somebody else's `exit` stays."""
    if sys.exit is _exit:
        sys.exit = _marking


def unwatch() -> None:
    """Undo `watch`."""
    if sys.exit is _marking:
        sys.exit = _exit


def ended_by() -> SystemExit | None:
    """What ended this process, where `sys.exit` did: for functions of `atexit`."""
    return _ended_by


def _end_as_interrupted() -> None:
    """Let a process that Ctrl-C ended end by SIGINT, as it would without us.

    An interpreter forgets that when a text is executed afterwards, and to import a module may do so
    (`collections.namedtuple` does). It is reminded in the only way there is.
    """
    last = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    is_asking = hasattr(sys, "ps1") or sys.flags.interactive  # it goes on after what is not caught
    if isinstance(last, KeyboardInterrupt) and _ended_by is None and not is_asking:
        with suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")  # noqa: S102 - see above


atexit.register(_end_as_interrupted)  # first, so that it comes after all others of ours


def at_process_end(close: Callable[[], None]) -> None:
    """Call `close` when the process ends, also where multiprocessing ends it without atexit."""
    atexit.register(close)
    if "multiprocessing" in sys.modules:
        from multiprocessing.util import Finalize

        Finalize(None, close, exitpriority=10)
