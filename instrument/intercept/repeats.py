"""Files that a program reads over and over: told once, and only so many of them.

A data loader calls ``torch.load`` for each example. What has been told is counted, and costs the
call some microseconds. What is not told one by one is hashed all the same, and told together.
"""

import os
import threading
import weakref
from pathlib import Path
from typing import Final

from instrument.intercept.content import Content
from instrument.intercept.session import Destination
from instrument.intercept.worker import worker
from instrument.protocols import Recorder
from instrument.records import LoadsCounted

MAX_TOLD: Final = 200
"""Files that are told of each kind of call, in one process of a run."""

MAX_HASHED: Final = 100_000
"""Files that are hashed of each kind of call."""

_SMALL_BYTES: Final = 64 << 10

_State = tuple[str, int, int, int]


class Repeats:
    """What was read by one kind of call for one run.

    Args:
        destination: Where it is told.
    """

    def __init__(self, destination: Destination) -> None:
        self._lock = threading.RLock()  # a signal handler may load something too
        self._told: set[_State] = set()
        self._count = 0
        self.repeated = 0
        self.left_out = 0
        self.rest = Content(
            0,
            destination.objects,
            destination.recorder,
            destination.data_limit_bytes,
            max_files=MAX_HASHED,
            at_once_bytes=_SMALL_BYTES,
        )

    def is_news(self, path: str | None) -> bool:
        """Whether the file at `path` has a record to come; None is something that is no file."""
        state = _state(path) if path is not None else None
        with self._lock:
            if state is not None and state in self._told:
                self.repeated += 1
                return False
            if self._count >= MAX_TOLD:
                self.left_out += 1
                self._add_to_rest(path, state)
                return False
            self._count += 1
            if state is not None:
                self._told.add(state)
            return True

    def _add_to_rest(self, path: str | None, state: _State | None) -> None:
        if path is None or state is None:
            self.rest.skip("one was no file")
            return
        self.rest.add(Path(path))
        if len(self._told) < MAX_HASHED:
            self._told.add(state)


_Calls = dict[str, Repeats]
_by_recorder: "weakref.WeakKeyDictionary[Recorder, _Calls]" = weakref.WeakKeyDictionary()
os.register_at_fork(after_in_child=_by_recorder.clear)


def is_news(destination: Destination, loader: str, path: str | None) -> bool:
    """See `Repeats.is_news`, for calls of `loader`."""
    calls = _by_recorder.get(destination.recorder)
    if calls is None:
        calls = _by_recorder.setdefault(destination.recorder, {})
    if loader not in calls:
        calls.setdefault(loader, Repeats(destination))
    return calls[loader].is_news(path)


def tell_counts(recorder: Recorder, seconds: float) -> None:
    """Record the calls that have no record of their own; hashing may take `seconds` more."""
    counts = _by_recorder.pop(recorder, {})
    if any(calls.left_out for calls in counts.values()):
        hashed = threading.Event()
        worker.submit(hashed.set)
        hashed.wait(seconds)
    for loader, calls in counts.items():
        if calls.repeated or calls.left_out:
            rest = calls.rest.identified()
            counted = LoadsCounted(
                loader=loader,
                repeated=calls.repeated,
                left_out=calls.left_out,
                files=len(rest.files),
                size_bytes=sum(file.size_bytes for file in rest.files),
                digest=rest.digest,
                reason=rest.reason if rest.files else None,
            )
            recorder.record(counted)


def _state(path: str) -> _State | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - three times faster than a `Path`
    except (OSError, ValueError):
        return None
    return path, status.st_ino, status.st_size, status.st_mtime_ns
