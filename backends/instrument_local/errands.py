"""Calls beside the caller's own, which are made all the same where no thread comes.

A thread that gets no memory for its first call dies without a word, and `threading.Thread.start`
waits for its word for ever. So threads are begun here without that, whoever begins a call claims
it, and what nobody has claimed the caller does.
"""

import _thread
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

BEGIN_SECONDS: Final = 1.0
"""A thread that has not begun by then has died, or comes too late."""
T = TypeVar("T")
R = TypeVar("R")


class Errand(Generic[T]):
    """One call in a thread of its own.

    Args:
        call: What to call.

    Attributes:
        result: What it returned; None before.
        error: What it raised, or None.
    """

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._claim = threading.Lock()
        self._ended = threading.Event()
        self.result: T | None = None
        self.error: BaseException | None = None
        try:
            _thread.start_new_thread(self.step_in, ())
        except (RuntimeError, MemoryError):
            self.step_in()

    @property
    def has_ended(self) -> bool:
        """Whether it has returned or raised."""
        return self._ended.is_set()

    def step_in(self) -> None:
        """Make the call here, unless somebody makes it already."""
        if not self._claim.acquire(blocking=False):
            return
        try:
            self.result = self._call()
        except BaseException as error:
            self.error = error
        finally:
            self._ended.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait so long, None for as long as it takes; whether it has ended."""
        begin = BEGIN_SECONDS if seconds is None else min(BEGIN_SECONDS, seconds)
        if not self._ended.wait(begin):
            self.step_in()
        return self._ended.wait(None if seconds is None else max(seconds - begin, 0.0))


class _Shared(Generic[T, R]):
    """Calls that several threads make, each the next one."""

    def __init__(self, call: Callable[[T], R], items: Sequence[T]) -> None:
        self._call = call
        self._items = items
        self._changed = threading.Condition()
        self._next = self._busy = 0
        self._error: BaseException | None = None
        self._results: list[Any] = [None] * len(items)

    def work(self) -> None:
        while (index := self._take()) is not None:
            try:
                self._results[index] = self._call(self._items[index])
            except BaseException as error:
                self._error = self._error or error
            finally:
                with self._changed:
                    self._busy -= 1
                    self._changed.notify()

    def _take(self) -> int | None:
        with self._changed:
            if self._error is not None or self._next == len(self._items):
                return None
            self._next += 1
            self._busy += 1
            return self._next - 1

    def results(self) -> list[R]:
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)
        if self._error is not None:
            raise self._error
        return self._results


def side_by_side(call: Callable[[T], R], items: Sequence[T], threads: int) -> list[R]:
    """The results of `call` for each of `items`, in order; the first failure ends the rest.

    Args:
        call: What to call.
        items: With what.
        threads: How many calls at once, one of them here.
    """
    shared = _Shared(call, items)
    for _ in range(min(threads, len(items)) - 1):
        with suppress(RuntimeError, MemoryError):
            _thread.start_new_thread(shared.work, ())
    shared.work()
    return shared.results()
