"""Calls beside the caller's own, which are made all the same where no thread comes.

A thread that gets no memory for its first call dies without a word, and `threading.Thread.start`
waits for its word for ever. So threads are begun here without that, whoever begins a call claims
it, and what nobody has claimed the caller does.
"""

import _thread
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from instrument import threads

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
        self._under_way = threading.Lock()  # released by one call in C, which needs no memory
        self._under_way.acquire()
        self.result: T | None = None
        self.error: BaseException | None = None
        try:
            threads.check_room()
            _thread.start_new_thread(self.step_in, ())
        except (RuntimeError, MemoryError):
            self.step_in()

    @property
    def has_ended(self) -> bool:
        """Whether it has returned or raised."""
        return not self._under_way.locked()

    def step_in(self) -> None:
        """Make the call here, unless somebody makes it already."""
        if not self._claim.acquire(blocking=False):
            return
        try:
            self.result = self._call()
        except BaseException as error:
            self.error = error
        finally:
            self._under_way.release()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait so long, None for as long as it takes; whether it has ended."""
        begin = BEGIN_SECONDS if seconds is None else min(BEGIN_SECONDS, seconds)
        if not self._ends_in(begin):
            self.step_in()
        return self._ends_in(-1 if seconds is None else max(seconds - begin, 0.0))

    def _ends_in(self, seconds: float) -> bool:
        """Whether it ends in so many seconds; -1: at any time."""
        if self._under_way.acquire(timeout=seconds):
            self._under_way.release()
            return True
        return False


class _Shared(Generic[T, R]):
    """Calls that several threads make, each the next one."""

    def __init__(self, call: Callable[[T], R], items: Sequence[T]) -> None:
        self._call = call
        self._items = items
        self._indices = iter(range(len(items)))  # `next` is one step for all threads
        self.error: BaseException | None = None
        self.results: list[Any] = [None] * len(items)

    def work(self) -> None:
        while self.error is None and (index := next(self._indices, None)) is not None:
            try:
                self.results[index] = self._call(self._items[index])
            except BaseException as error:
                self.error = self.error or error


def side_by_side(call: Callable[[T], R], items: Sequence[T], most: int) -> list[R]:
    """The results of `call` for each of `items`, in order; the first failure ends the rest.

    Args:
        call: What to call.
        items: With what.
        most: How many calls at once, one of them here.
    """
    shared = _Shared(call, items)
    helpers = [Errand(shared.work) for _ in range(min(most, len(items)) - 1)]
    try:
        shared.work()
    finally:
        for helper in helpers:
            helper.step_in()  # one that has not begun finds nothing left to do
            helper.wait()
    for error in (shared.error, *(helper.error for helper in helpers)):
        if error is not None:
            raise error
    return shared.results
