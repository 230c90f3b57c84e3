"""Starting threads where memory may be short.

A thread that gets no memory for its first call dies without a word, or worse: CPython tries again
for ever, and no other thread gets its turn. So a thread is only started where there is room for it.
"""

import mmap
import resource
import threading
from typing import Final

BEGIN_SECONDS: Final = 5.0
"""A thread that has not begun by then has died."""
_STACK_BYTES: Final = 8 << 20  # where the limit of the stack is none, or is unusual
_CALLS_BYTES: Final = 4 << 20  # of the interpreter, for the thread's first calls


class _Begun(threading.Event):
    """Set by a thread that begins; who waits for it does so for a while."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(BEGIN_SECONDS if timeout is None else timeout)


def start(thread: threading.Thread) -> None:
    """Start `thread`, as `thread.start()`, which waits for ever for one that dies as it begins.

    Raises:
        RuntimeError, MemoryError: The system gives no more threads, or no memory for it.
    """
    check_room()
    begun = _Begun()
    thread._started = begun  # type: ignore[attr-defined]  # noqa: SLF001 - all that `start` waits for
    thread.start()
    if not begun.is_set():
        raise RuntimeError(f"the thread {thread.name} did not begin; there may be no memory for it")


def check_room() -> None:
    """See that there is memory for a thread now; it is only asked for, and not used.

    Raises:
        MemoryError: There is none.
    """
    stack, _ = resource.getrlimit(resource.RLIMIT_STACK)
    size = _CALLS_BYTES + (stack if 0 < stack < 8 * _STACK_BYTES else _STACK_BYTES)
    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError as error:
        raise MemoryError("there is no memory for another thread") from error
