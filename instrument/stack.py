"""Which runs are open in this process, and which of them the calling code belongs to."""

import atexit
import os
import sys
import threading
from contextvars import ContextVar, Token
from typing import Final, NamedTuple, Protocol

from instrument import exits
from instrument.vocabulary import RunState


class OpenRun(Protocol):
    """A run as this module needs it: `instrument.context.ExperimentContext`."""

    id: str
    state: RunState | None

    def is_over(self) -> bool:
        """Whether it was lent to this process, and has ended where it belongs."""

    def finish(
        self,
        state: RunState | str | None = None,
        error: BaseException | None = None,
        exit_code: int | None = None,
    ) -> None:
        """Close the run."""


_RUNNING: Final = RunState.RUNNING
_current: ContextVar[OpenRun | None] = ContextVar("instrument_run", default=None)
_open: "dict[int, _Opened]" = {}
_forked_in_run = False


class _Opened(NamedTuple):
    """An open run, the run it was opened in, the thread that did, and what had failed before."""

    run: OpenRun
    enclosing: OpenRun | None
    thread: int
    failed_before: tuple[int, int] | None


def enter(run: OpenRun) -> Token[OpenRun | None]:
    """Make `run` the current one of this context."""
    if not _open:
        atexit.unregister(_finish_all)
        atexit.register(_finish_all)
    _open[id(run)] = _Opened(run, enclosing(), threading.get_ident(), _mark(_unhandled()))
    return _current.set(run)


def leave(run: OpenRun, token: Token[OpenRun | None] | None) -> None:
    """Undo `enter`, in whatever order and context runs are closed."""
    opened = _open.pop(id(run), None)
    if not _open:
        exits.unwatch()
    if token is None:
        return
    try:
        _current.reset(token)
    except ValueError:  # closed in another context than it was opened in
        if _current.get() is run:
            _current.set(opened.enclosing if opened is not None else None)


def resume(run: OpenRun) -> Token[OpenRun | None]:
    """Make `run` the current one here again, such as while the frame of its generator runs."""
    return _current.set(run)


def pause(token: Token[OpenRun | None]) -> None:
    """Undo `resume`; in another context there is nothing to undo."""
    try:
        _current.reset(token)
    except ValueError:
        return


def enclosing() -> OpenRun | None:
    """The run that a run opened here would be a part of, or None.

    The run of this task or thread; else, in another thread than the main one, the run that the main
    thread has open. Runs that tasks or threads open side by side are no part of one another.
    """
    if _forked_in_run:
        _close_what_is_over()
    run = _current.get()
    if run is not None and run.state is _RUNNING:
        return run
    main = threading.main_thread().ident
    if threading.get_ident() == main:
        return None
    return _innermost_of([opened for opened in _open.values() if opened.thread == main])


def innermost() -> OpenRun | None:
    """The run that the calling code belongs to, or None.

    The run of this task or thread; else, since threads do not inherit contexts, the run of the
    process, where the open ones are nested in one another. Several runs side by side: None.
    """
    if _forked_in_run:
        _close_what_is_over()
    run = _current.get()
    if run is not None and run.state is _RUNNING:
        return run
    return _innermost_of(list(_open.values()))


def forked_in_run() -> bool:
    """Whether this process was forked off while a run was open."""
    return _forked_in_run


def _close_what_is_over() -> None:
    """Close this process's part in runs that have ended in the process that it was forked from."""
    for opened in reversed(list(_open.values())):
        if opened.run.is_over():
            opened.run.finish()


def _innermost_of(runs: list[_Opened]) -> OpenRun | None:
    """The last of `runs`, if each was opened in the one before it."""
    last: OpenRun | None = None
    for opened in runs:
        if opened.enclosing is not last:
            return None
        last = opened.run
    return last


def _finish_all() -> None:
    """Close what is still open when the interpreter ends, newest first."""
    unhandled = _unhandled()
    for opened in reversed(list(_open.values())):
        is_old = unhandled is None or opened.failed_before == _mark(unhandled)
        try:
            opened.run.finish(error=exits.ended_by() if is_old else unhandled)
        except Exception as failure:  # nobody is left to catch it, and others are to be closed
            from instrument.guard import one_line, say

            say(f"recording run {opened.run.id} failed: {one_line(failure)}")


def _unhandled() -> BaseException | None:
    """The last exception that nobody caught; an interactive interpreter goes on after it."""
    return getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)


def _mark(error: BaseException | None) -> tuple[int, int] | None:
    """Tells `error` from others; to hold it would hold all that its frames do."""
    return None if error is None else (id(error), id(error.__traceback__))


def _after_fork_in_child() -> None:
    global _forked_in_run  # noqa: PLW0603 - what is open now belongs to the parent
    _forked_in_run = _forked_in_run or bool(_open)


os.register_at_fork(after_in_child=_after_fork_in_child)
