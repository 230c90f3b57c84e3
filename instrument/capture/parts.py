"""One part of the environment at a time: guarded, limited in time, and told how it went."""

import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from instrument.guard import one_line
from instrument.vocabulary import Health

LIMIT_SECONDS: Final = 5.0
Read: TypeAlias = Callable[[], Any]
"""A part: returns plain data, or raises `NotKnown`."""


class NotKnown(Exception):  # noqa: N818 - it is an answer, not an error
    """The part cannot be known here; the message says why."""


def read_part(name: str, read: Read, *, limit_seconds: float = LIMIT_SECONDS) -> tuple[Any, Health]:
    """What `read` returns (None when it cannot), and how it went. Never raises.

    Args:
        name: Name of the part.
        read: Reads it, in a thread that is left behind when it takes too long.
        limit_seconds: How long it may take.
    """
    began = time.perf_counter()
    answer: list[tuple[Any, str, str | None]] = []
    thread = threading.Thread(
        target=lambda: answer.append(_attempt(read)), name=f"instrument-{name}", daemon=True
    )
    thread.start()
    thread.join(limit_seconds)
    value, status, reason = (answer or [(None, "timed_out", f"not done in {limit_seconds:g} s")])[0]
    seconds = round(time.perf_counter() - began, 6)
    return value, Health(part=name, status=status, reason=reason, seconds=seconds)


def _attempt(read: Read) -> tuple[Any, str, str | None]:
    try:
        return read(), "done", None
    except NotKnown as unknown:
        return None, "skipped", str(unknown)
    except Exception as error:
        return None, "failed", f"{type(error).__name__}: {one_line(error)}"
