"""Files that a program reads over and over: told once, and only so many of them.

A data loader calls ``torch.load`` for each example. What has been told is counted, and costs the
call some microseconds.
"""

import os
import threading
import weakref
from collections import defaultdict
from typing import Final

from instrument.protocols import Recorder
from instrument.records import LoadsCounted

MAX_TOLD: Final = 200
"""Files that are told of each kind of call, in one process of a run."""

_State = tuple[str, int, int, int]


class Repeats:
    """What was read by one kind of call for one run."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may load something too
        self._told: set[_State] = set()
        self._count = 0
        self.repeated = 0
        self.left_out = 0

    def is_news(self, path: str | None) -> bool:
        """Whether the file at `path` has a record to come; None is something that is no file."""
        state = _state(path) if path is not None else None
        with self._lock:
            if state is not None and state in self._told:
                self.repeated += 1
                return False
            if self._count >= MAX_TOLD:
                self.left_out += 1
                return False
            self._count += 1
            if state is not None:
                self._told.add(state)
            return True


_Calls = defaultdict[str, Repeats]
_by_recorder: "weakref.WeakKeyDictionary[Recorder, _Calls]" = weakref.WeakKeyDictionary()
os.register_at_fork(after_in_child=_by_recorder.clear)


def is_news(recorder: Recorder, loader: str, path: str | None) -> bool:
    """See `Repeats.is_news`, for calls of `loader`."""
    calls = _by_recorder.get(recorder)
    if calls is None:
        calls = _by_recorder.setdefault(recorder, defaultdict(Repeats))
    return calls[loader].is_news(path)


def tell_counts(recorder: Recorder) -> None:
    """Record the calls that have no record of their own."""
    for loader, calls in _by_recorder.pop(recorder, {}).items():
        if calls.repeated or calls.left_out:
            counted = LoadsCounted(loader=loader, repeated=calls.repeated, left_out=calls.left_out)
            recorder.record(counted)


def _state(path: str) -> _State | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - three times faster than a `Path`
    except (OSError, ValueError):
        return None
    return path, status.st_ino, status.st_size, status.st_mtime_ns
