"""Calls of ours in the user's libraries: an artifact is on the record as used, not as loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_reading: Final[ContextVar[bool]] = ContextVar("instrument_own_read", default=False)


@contextmanager
def own_read() -> Iterator[None]:
    """A block in which this thread or task reads, or seeds, for us."""
    token = _reading.set(True)
    try:
        yield
    finally:
        _reading.reset(token)


def is_own_read() -> bool:
    """Whether the calling code is in such a block."""
    return _reading.get()
