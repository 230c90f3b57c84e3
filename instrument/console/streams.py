"""The streams of this process, listened to while a run is open."""

import os
import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

_lock = threading.Lock()
_taps: "list[_Tap]" = []
_left: "list[_Tap]" = []
"""Taps that somebody has wrapped since: they stay where they are, and are used again."""
_depth = 0
_heard: object = None
"""The stream whose tap an empty text has come by last."""


def _nowhere() -> "Sink | None":
    return None


_find: "Callable[[], Sink | None]" = _nowhere


class Sink(Protocol):
    """Where text goes: `instrument.console.ConsoleLog`."""

    def write(self, stream: str, text: str) -> None:
        """Take what was written."""


class _Tap(NamedTuple):
    """A stream, what its ``write`` is now, and what it was: None, that of its class."""

    stream: Any
    write: Callable[..., Any]
    before: Callable[..., Any] | None


def install(find: "Callable[[], Sink | None]") -> None:
    """Listen to the streams. To be paired with `uninstall`; pairs nest.

    Args:
        find: Tells where the text of the calling code goes.
    """
    global _depth, _find  # noqa: PLW0603 - how many runs are open
    with _lock:
        _depth += 1
        if _depth == 1:
            _find = find
            _tap_all()
            _on_each_cell("register")


def uninstall() -> None:
    """Stop, with the last of the runs; each stream gets back what it had."""
    global _depth, _find  # noqa: PLW0603 - as above
    with _lock:
        _depth = max(_depth - 1, 0)
        if _depth == 0:
            _find = _nowhere
            _on_each_cell("unregister")
            while _taps:
                _untap(_taps.pop())


def _on_each_cell(do: str) -> None:
    """``register`` or ``unregister``: IPython drops at a cell's end who began to listen in it."""
    try:
        shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", bool)()
        if shell:
            getattr(shell.events, do)("pre_run_cell", _next_cell)
    except Exception:  # another shell than we know, or one that has forgotten us
        return


def _next_cell(*_: object) -> None:
    with _lock:
        if _depth:
            _tap_all()


def _tap_all() -> None:
    for name in ("stdout", "stderr"):
        _tap(getattr(sys, name, None), name)


def _tap(stream: Any, name: str) -> None:
    """Listen to `stream`, unless there is none, or it takes no attribute."""
    for tap in (*_taps, *_left):
        if tap.stream is stream:
            if not _hears(tap):  # whoever wrapped it has put back what was before it
                _forget(tap)
            elif tap not in _taps:
                _taps.append(tap)
            break
    if stream is None or any(tap.stream is stream for tap in _taps):
        return
    try:
        before, write = vars(stream).get("write"), stream.write
        stream.write = tap_write = _listening(stream, write, name)
        _taps.append(_Tap(stream, tap_write, before))
    except Exception:  # a stream of somebody else's making: it is not recorded
        return


def _hears(tap: _Tap) -> bool:
    """Whether what is written to the stream still comes by the tap: an empty text tells."""
    global _heard  # noqa: PLW0603 - under the lock
    _heard = None
    try:
        if vars(tap.stream).get("write") is not tap.write:
            tap.stream.write("")
            return _heard is tap.stream
    except Exception:  # closed, say: nothing comes by any more
        return False
    return True


def _forget(tap: _Tap) -> None:
    for taps in (_taps, _left):
        taps[:] = [other for other in taps if other is not tap]


def _untap(tap: _Tap) -> None:
    try:
        if vars(tap.stream).get("write") is not tap.write:
            _left[:] = [*(other for other in _left if other is not tap), tap]
        elif tap.before is None:
            del tap.stream.write
        else:
            tap.stream.write = tap.before
    except Exception:  # it has changed its mind about attributes: the tap stays and finds nothing
        return


def _listening(stream: Any, write: Callable[..., Any], name: str) -> Callable[..., Any]:
    """`write` of `stream`, followed by a note of what was written."""

    def written(text: Any, *rest: Any) -> Any:
        global _heard  # noqa: PLW0603 - told to `_hears`
        result = write(text, *rest)
        try:
            if not text:
                _heard = stream
                return result
            sink = _find()
            if sink is not None:
                sink.write(name, text)
        except Exception:  # noqa: S110 - whatever fails here is nothing to whoever prints
            pass
        return result

    return written


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
