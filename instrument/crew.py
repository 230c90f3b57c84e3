"""Threads of ours that are used again: to start one takes longer than most of what it does."""

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import Final

from instrument import threads

IDLE_SECONDS: Final = 5.0
"""So long a thread waits for something else to do before it ends."""


class Task:
    """What a thread of ours does. `join` and `is_alive` are as those of a thread.

    Args:
        work: What is to be done, in a context of its own.
        name: Of the thread meanwhile.
    """

    def __init__(self, work: Callable[[], None], name: str) -> None:
        self.name = name
        self._work: Callable[[], None] | None = work
        self._pid = os.getpid()
        self._under_way = threading.Lock()
        self._under_way.acquire()

    def join(self, timeout_seconds: float = -1) -> None:
        """Wait until it is done, at most so long; -1: as long as it takes."""
        if self.is_alive() and self._under_way.acquire(timeout=timeout_seconds):
            self._under_way.release()

    def is_alive(self) -> bool:
        """Whether it is under way here: a forked child has none of its parent's threads."""
        return self._under_way.locked() and self._pid == os.getpid()

    def do(self, then: Callable[[], None]) -> None:
        """Do it, and `then`; who waits may go on only after that."""
        work, self._work = self._work, None
        try:
            if work is not None:
                Context().run(work)
            then()
        finally:
            self._under_way.release()


class _Member:
    """A thread that does one task after another. What a task raises ends it, as any thread."""

    def __init__(self, task: Task) -> None:
        self._task: Task | None = task
        self._called = threading.Lock()
        self._called.acquire()
        self._thread = threading.Thread(target=self._run, name=task.name, daemon=True)
        threads.start(self._thread)

    def is_alive(self) -> bool:
        """Whether it can take another task: without memory it may have died waiting for one."""
        return self._thread.is_alive()

    def take(self, task: Task) -> None:
        """Do `task` now; of one who is idle."""
        self._task = task
        self._called.release()

    def _run(self) -> None:
        while True:
            task, self._task = self._task, None
            if task is not None:
                threading.current_thread().name = task.name
                task.do(self._is_idle)
            del task  # and what it holds, for as long as nobody calls
            if not self._called.acquire(timeout=IDLE_SECONDS):
                if self._retires():
                    return
                self._called.acquire()

    def _is_idle(self) -> None:
        _idle.append(self)

    def _retires(self) -> bool:
        """Whether nobody has called it in the meantime."""
        try:
            _idle.remove(self)
        except ValueError:
            return False
        return True


_idle: "deque[_Member]" = deque()


def begin(work: Callable[[], None], name: str) -> Task:
    """Let a thread called `name` do `work`.

    Raises:
        RuntimeError, MemoryError: The system gives no more threads.
    """
    task = Task(work, name)
    while _idle:
        with suppress(IndexError):  # another thread was first
            member = _idle.pop()
            if member.is_alive():
                member.take(task)
                return task
    _Member(task)
    return task


os.register_at_fork(after_in_child=_idle.clear)
