"""What becomes of a run, and the exception that ended it, on the record."""

import sys
from contextlib import suppress
from typing import Any, Final

from instrument.errors import UsageError
from instrument.guard import one_line, say, traceback_text
from instrument.records import ExceptionRaised
from instrument.redaction import redact_text
from instrument.vocabulary import RunState

_MAX_MESSAGE: Final = 10_000
_ENDS: Final = (RunState.COMPLETED, RunState.FAILED, RunState.INTERRUPTED)


def given_end(state: Any) -> RunState:
    """What the user says became of the run.

    Raises:
        UsageError: It is no end.
    """
    if state not in _ENDS:
        raise UsageError(f"state={state!r:.80} is no end; use COMPLETED, FAILED or INTERRUPTED")
    return RunState(state)


def state_after(error: BaseException | None) -> RunState:
    """What becomes of a run that `error` ends."""
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return RunState.COMPLETED
    if isinstance(error, (KeyboardInterrupt, GeneratorExit)) or _is_cancelled(error):
        return RunState.INTERRUPTED
    return RunState.FAILED


def add_failure(error: BaseException, failure: Exception) -> None:
    """Tell with the user's `error` that recording it failed too. Never raises."""
    told = f"recording this run failed too: {one_line(failure)}"
    with suppress(Exception):  # a class may refuse notes
        error.add_note(f"instrument: {told}")
    if not isinstance(error, Exception):  # such as SystemExit: nobody sees its notes
        say(told)


def exception_raised(error: BaseException) -> ExceptionRaised:
    """The record of `error`, without secrets. Never raises, whatever `error` answers."""
    return ExceptionRaised(
        type=_type_name(type(error)), message=_message(error), traceback=_traceback(error)
    )


def _is_cancelled(error: BaseException) -> bool:
    """Whether a task was cancelled; asyncio costs 20 ms to import and is there if it was."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and isinstance(error, asyncio.CancelledError)


def _type_name(kind: type) -> str:
    try:
        return f"{kind.__module__}.{kind.__qualname__}"
    except Exception:  # a metaclass can hide even the name
        return "unknown"


def _message(error: BaseException) -> str:
    try:
        return redact_text(str(error)[:_MAX_MESSAGE])
    except Exception:
        return "(its message cannot be read)"


def _traceback(error: BaseException) -> str:
    try:
        return redact_text(traceback_text(error))
    except Exception:
        return "(cannot be read)"
