"""Which runs are open in this process, and which of them the calling code belongs to."""

import atexit
import sys
from contextvars import ContextVar, Token
from typing import Protocol

from instrument.records import RunState


class OpenRun(Protocol):
    """A run as this module needs it: `instrument.context.ExperimentContext`."""

    id: str
    state: RunState | None

    def finish(
        self,
        state: RunState | str | None = None,
        error: BaseException | None = None,
        exit_code: int | None = None,
    ) -> None:
        """Close the run."""


_current: ContextVar[OpenRun | None] = ContextVar("instrument_run", default=None)
_open: dict[int, tuple[OpenRun, OpenRun | None]] = {}


def enter(run: OpenRun) -> Token[OpenRun | None]:
    """Make `run` the current one of this context."""
    if not _open:
        atexit.unregister(_finish_all)
        atexit.register(_finish_all)
    _open[id(run)] = (run, innermost())
    return _current.set(run)


def leave(run: OpenRun, token: Token[OpenRun | None] | None) -> None:
    """Undo `enter`, in whatever order and context runs are closed."""
    _, before = _open.pop(id(run), (run, None))
    if token is None:
        return
    try:
        _current.reset(token)
    except ValueError:  # closed in another context than it was opened in
        if _current.get() is run:
            _current.set(before)


def resume(run: OpenRun) -> Token[OpenRun | None]:
    """Make `run` the current one here again, such as while the frame of its generator runs."""
    return _current.set(run)


def pause(token: Token[OpenRun | None]) -> None:
    """Undo `resume`; in another context there is nothing to undo."""
    try:
        _current.reset(token)
    except ValueError:
        return


def innermost() -> OpenRun | None:
    """The run that the calling code belongs to, or None.

    The run of this task or thread; else, since threads do not inherit contexts, the run of the
    process, where the open ones are nested in one another. Several runs side by side: None.
    """
    run = _current.get()
    if run is not None and run.state is RunState.RUNNING:
        return run
    last: OpenRun | None = None
    for run, outer in list(_open.values()):
        if outer is not last:
            return None
        last = run
    return last


def _finish_all() -> None:
    """Close what is still open when the interpreter ends, newest first."""
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    for run, _ in reversed(list(_open.values())):
        run.finish(error=error)
