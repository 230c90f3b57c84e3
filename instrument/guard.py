"""Never harm the host: the one place where the recorder's own failures end.

Whatever fails while recording is counted, put on the record, and shown once on stderr. It never
reaches the user's code, unless the run is strict. What the *user* got wrong (a bad name, a missing
file) is theirs to hear: `UsageError` and `NotFoundError` pass.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from instrument.errors import AuditError, NotFoundError, UsageError
from instrument.records import Problem

MAX_RECORDED = 100
MAX_SHOWN = 5
_MAX_TRACEBACK = 50_000


class Guard:
    """Counts and tells what one run could not record.

    Args:
        take: Takes the `Problem` records.
        strict: Raise instead.
    """

    def __init__(self, take: Callable[[Problem], None], *, strict: bool = False) -> None:
        self._take = take
        self._strict = strict
        self.problems = 0

    def problem(self, doing: str, error: BaseException) -> None:
        """Count, record and show that `doing` failed.

        Raises:
            BaseException: `error` itself, in a strict run.
            AuditError: It is one: who requires an audit wants to hear of it.
        """
        if self._strict or isinstance(error, AuditError):
            raise error
        self.problems += 1
        if self.problems <= MAX_RECORDED:
            name = type(error).__name__
            message = one_line(error)
            try:
                self._take(Problem(doing=doing, error=name, message=message))
            except Exception as second:  # recording the failure failed too: only stderr is left
                say(f"could not record a problem: {one_line(second)}")
        if self.problems <= MAX_SHOWN:
            say(f"could not {doing}: {one_line(error)} (your run goes on)")

    @contextmanager
    def protect(self, doing: str) -> Iterator[None]:
        """Run a block whose failures are ours: ``with guard.protect("capture packages"): …``."""
        try:
            yield
        except (UsageError, NotFoundError):
            raise
        except Exception as error:
            self.problem(doing, error)


def one_line(error: BaseException) -> str:
    """The message of `error` on one line, safely: its ``__str__`` may fail too."""
    try:
        text = str(error)
    except Exception:
        text = "(its message cannot be read)"
    return " ".join(text.split())[:500] or type(error).__name__


def say(message: str) -> None:
    """Tell the user something on stderr; a closed stderr is no error."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"instrument: {message}\n")


def traceback_text(error: BaseException) -> str:
    """The formatted traceback of `error`, without the values of local variables."""
    import traceback

    return "".join(traceback.format_exception(error))[-_MAX_TRACEBACK:]
