"""One part of the environment at a time: guarded, limited in time and size, told how it went."""

import time
from collections.abc import Callable, Iterable, Mapping
from threading import current_thread, main_thread
from typing import Any, Final, TypeAlias

import msgspec

from instrument import crew
from instrument.canonical import to_plain
from instrument.guard import one_line
from instrument.overhead import helping
from instrument.vocabulary import Health

LIMIT_SECONDS: Final = 2.0
LIMIT_BYTES: Final = 1_000_000
Read: TypeAlias = Callable[[], Any]
"""A part: returns a mapping or a list of plain values, or raises `NotKnown`."""
_Answer: TypeAlias = tuple[Any, str, str | None]


class NotKnown(Exception):  # noqa: N818 - it is an answer, not an error
    """The part cannot be known here; the message says why."""


def explained(facts: dict[str, Any], otherwise: str, **reasons: str) -> dict[str, Any]:
    """`facts`, with a reason for each that is None: from `reasons` by its name, or `otherwise`."""
    missing = [name for name, value in facts.items() if value is None]
    return {**facts, "reasons": {name: reasons.get(name, otherwise) for name in missing}}


def read_part(
    name: str,
    read: Read,
    *,
    limit_seconds: float = LIMIT_SECONDS,
    limit_bytes: int = LIMIT_BYTES,
) -> tuple[Any, Health]:
    """What `read` returns (None when it cannot), and how it went. Never raises.

    What comes back is plain JSON whatever `read` returns. A part that once hung is not tried again
    while its thread still hangs.

    Args:
        name: Name of the part.
        read: Reads it, in a thread that is left behind when it takes too long.
        limit_seconds: How long it may take.
        limit_bytes: How large it may be as JSON; of more the first entries are kept.
    """
    began = time.perf_counter()
    value, status, reason = _limited(name, read, limit_seconds, limit_bytes)
    seconds = round(time.perf_counter() - began, 6)
    return value, Health(part=name, status=status, reason=reason, seconds=seconds)


def read_together(
    reads: Mapping[str, Read], *, limit_seconds: float | None
) -> tuple[dict[str, Any], tuple[Health, ...]]:
    """What each of `reads` returns, by name, and how those went that are not whole. Never raises.

    As `read_part`, but one after the other in one thread: when one hangs, the next are not read.
    Without a limit that thread is the calling one, for what nothing can hold up.
    """
    answers: dict[str, _Answer] = {}

    def work() -> None:
        for name, read in reads.items():
            answers[name] = _attempt(read, LIMIT_BYTES)

    late = (
        _at_once(work) if limit_seconds is None else _in_time(" ".join(reads), work, limit_seconds)
    )
    found = {name: answers.get(name, late) for name in reads}
    health = (Health(part=part, status=how, reason=why) for part, (_, how, why) in found.items())
    return (
        {name: value for name, (value, _, _) in found.items()},
        tuple(line for line in health if line.status != "done"),
    )


def _limited(name: str, read: Read, limit_seconds: float, limit_bytes: int) -> _Answer:
    answer: list[_Answer] = []
    late = _in_time(name, lambda: answer.append(_attempt(read, limit_bytes)), limit_seconds)
    return answer[0] if answer else late


def _at_once(work: Callable[[], None]) -> _Answer:
    """Do `work` in this thread; the answer is for what it left out."""
    work()
    return None, "failed", "it was not read"


def _in_time(name: str, work: Callable[[], None], limit_seconds: float) -> _Answer:
    """Do `work` in a thread that is left behind when it takes too long; the answer is for then."""
    if limit_seconds <= 0:
        return None, "skipped", "the time for the whole snapshot was used up"
    if name in _hanging and _hanging[name].is_alive():
        return None, "timed_out", "an earlier attempt still hangs"
    try:
        task = crew.begin(helping(work), f"instrument-{name}")
    except (RuntimeError, MemoryError) as error:  # or the interpreter is going down
        return None, "failed", one_line(error)
    task.join(limit_seconds)
    if task.is_alive():
        _hanging[name] = task
    return None, "timed_out", f"not done in {limit_seconds:g} s"


def _attempt(read: Read, limit_bytes: int) -> _Answer:
    try:
        return _checked(read(), limit_bytes)
    except NotKnown as unknown:
        return None, "skipped", str(unknown)
    except BaseException as error:
        if not isinstance(error, Exception) and current_thread() is main_thread():
            raise  # Ctrl-C, or what a signal handler raised
        # Nobody waits for the end of a thread of ours.
        return None, "failed", f"{type(error).__name__}: {one_line(error)}"


def _checked(value: Any, limit_bytes: int) -> _Answer:
    """`value` as plain JSON of bounded size. Encoded in C first: it may be huge."""
    if not isinstance(value, (dict, list)):
        return None, "failed", f"it gave a {type(value).__name__}, not a mapping or a list"
    encoded = msgspec.json.encode(value)
    if len(encoded) <= limit_bytes:
        return to_plain(msgspec.json.decode(encoded)), "done", None
    kept = _first_entries(value, limit_bytes)
    size = f"{len(encoded)} bytes of at most {limit_bytes}"
    reason = f"{size}: the first {len(kept)} of {len(value)} entries are kept"
    return to_plain(kept) if kept else None, "truncated", reason


def _first_entries(value: dict[str, Any] | list[Any], limit_bytes: int) -> Any:
    if isinstance(value, list):
        return [decoded for _, decoded in _fitting(enumerate(value), limit_bytes)]
    return dict(_fitting(value.items(), limit_bytes))


def _fitting(entries: Iterable[tuple[Any, Any]], limit_bytes: int) -> Iterable[tuple[Any, Any]]:
    """Entries up to the first one that does not fit any more."""
    left = limit_bytes
    for entry in entries:
        encoded = msgspec.json.encode(entry)
        left -= len(encoded)
        if left < 0:
            return
        key, value = msgspec.json.decode(encoded)
        yield key, value


_hanging: dict[str, crew.Task] = {}
