"""The lock of those who change what is there already: gc, pack, repair, the ledger.

Recording never takes it. A lock is a file ``maintenance/<n>.json``, made by link(2), and the one
with the highest number counts: it is held until it becomes ``<n>.done``. Numbers only go up, so who
finds a lock abandoned and takes the next number cannot hit a lock that somebody took meanwhile.

A lock is abandoned when its process can be seen to be dead, or when it was not refreshed for half
an hour by the clock of the server that keeps the files. Where a lock is taken from the living in
spite of all (somebody removed the file), its holder finds out at the next `Maintenance.check`.
"""

import errno
import os
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from instrument import threads
from instrument.errors import IntegrityError, StoreError
from instrument_local.files import read_file, store_errors
from instrument_local.layout import Layout
from instrument_local.liveness import Process, lives, server_time, this_process
from instrument_local.stamps import stamp, unstamp

STALE_SECONDS: Final = 30 * 60.0
REFRESH_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 0.1
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}
_NAME: Final = re.compile(r"([1-9][0-9]{0,17})\.(json|done)")


class LockedError(StoreError):
    """Another process holds the lock; the message says who."""


class Holder(Process, kw_only=True):
    """Content of a lock.

    Attributes:
        at: When it was taken, by the clock of the holder's host.
        doing: What the holder does.
    """

    at: datetime
    doing: str


class Maintenance:
    """A lock that is held.

    Attributes:
        path: Its file.
    """

    def __init__(self, path: Path, content: bytes) -> None:
        self.path = path
        self._content = content

    def check(self) -> None:
        """To be called before each thing that cannot be undone.

        Raises:
            StoreError: The lock is not ours any more: stop.
        """
        if not self.is_ours():
            raise StoreError(
                f"the maintenance lock {self.path} was taken away while it was held; "
                "stopped before anything else was changed: run the command again"
            )

    def refresh(self) -> None:
        """Say that the holder still lives."""
        with suppress(OSError):
            os.utime(self.path)

    def is_ours(self) -> bool:
        """Whether the lock is still there as we made it."""
        try:
            return read_file(self.path) == self._content
        except FileNotFoundError:
            return False


@contextmanager
def maintenance(layout: Layout, doing: str, *, wait_seconds: float = 0.0) -> Iterator[Maintenance]:
    """Hold the lock in a block.

    Args:
        layout: The store; it is made if it is not there.
        doing: What is done, for others to read: ``gc``.
        wait_seconds: How long to wait for another holder.

    Raises:
        LockedError: Another holds it.
        StoreError: It cannot be written.
    """
    with _telling_of_space(), _locked(layout, doing, wait_seconds) as held:
        yield held


@contextmanager
def _telling_of_space() -> Iterator[None]:
    """Where the disk is full say that what frees space wants some first."""
    try:
        yield
    except StoreError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in _FULL:
            raise
        raise StoreError(
            f"{error}; make 1 MB free on that disk first: also what frees space, such as gc, "
            "writes some KB before it removes anything"
        ) from error.__cause__


@contextmanager
def _locked(layout: Layout, doing: str, wait_seconds: float) -> Iterator[Maintenance]:
    with store_errors(f"lock the store for {doing}"):
        layout.create()
        held = _take(layout, doing, time.monotonic() + wait_seconds)
    done = threading.Event()
    refresher = threading.Thread(target=_refresh, args=(held, done), daemon=True)
    with suppress(RuntimeError, MemoryError):  # no thread comes: what is done now is short
        threads.start(refresher)
    try:
        yield held
    finally:
        done.set()
        _release(layout, held)


def _take(layout: Layout, doing: str, deadline: float) -> Maintenance:
    while True:
        number, path = _highest(layout)
        reason = _why_held(layout, path) if path is not None else None
        if reason is None:
            held = _claim(layout, number + 1, doing)
            if held is not None:
                return held
        elif time.monotonic() >= deadline:
            raise LockedError(reason)
        else:
            time.sleep(_RETRY_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - to spread them


def _claim(layout: Layout, number: int, doing: str) -> Maintenance | None:
    """Make lock `number`; None when somebody else has it, or a higher one."""
    process = msgspec.structs.asdict(this_process())
    holder = Holder(**process, at=datetime.now(UTC), doing=doing)
    content = stamp(msgspec.json.encode(holder))
    path = _path(layout, number)
    layout.files.have_directory(path.parent)
    # Durable: a power cut must not leave an empty lock, which keeps everybody out for half an hour.
    if not layout.files.publish(path, content):
        return None
    names = _names(layout)
    if max(names) > number or f"{number}.done" in names[number]:  # we looked long ago
        layout.files.disk.unlink(path)
        return None
    _clear_below(layout, number)
    return Maintenance(path, content)


def _release(layout: Layout, held: Maintenance) -> None:
    """Let go; what is not ours any more is left alone."""
    with suppress(OSError):
        if held.is_ours():
            layout.files.disk.rename(held.path, held.path.with_suffix(".done"))


def _highest(layout: Layout) -> tuple[int, Path | None]:
    """The highest number ever taken, and its lock if it is held."""
    names = _names(layout)
    if not names:
        return 0, None
    number = max(names)
    path = _path(layout, number)
    return number, path if path.name in names[number] else None


def _names(layout: Layout) -> dict[int, set[str]]:
    """The files of each number."""
    found: dict[int, set[str]] = {}
    with suppress(FileNotFoundError):
        for name in os.listdir(layout.root / "maintenance"):  # noqa: PTH208 - names are enough
            if match := _NAME.fullmatch(name):
                found.setdefault(int(match[1]), set()).add(name)
    return found


def _clear_below(layout: Layout, number: int) -> None:
    for below, names in _names(layout).items():
        if below < number:
            for name in names:
                with suppress(OSError):
                    layout.files.disk.unlink(layout.root / "maintenance" / name)


def _path(layout: Layout, number: int) -> Path:
    return layout.root / "maintenance" / f"{number}.json"


def _why_held(layout: Layout, path: Path) -> str | None:
    """Why the lock `path` keeps others out, and what to do about it; None when it does not."""
    try:
        data, modified = read_file(path), path.lstat().st_mtime
    except FileNotFoundError:
        return None
    try:
        holder = msgspec.json.decode(unstamp(data), type=Holder)
    except (IntegrityError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        holder = None
    alive = lives(holder) if holder is not None else None
    age = server_time(layout) - modified
    if alive is False or (alive is None and age > STALE_SECONDS):
        return None
    return f"{layout.root} is locked {_who(holder)}; {_way_out(path, alive=alive, age=age)}"


def _who(holder: Holder | None) -> str:
    if holder is None:
        return "by a lock that cannot be read"
    since = f"{holder.at:%Y-%m-%d %H:%M:%S} UTC"
    return f"for {holder.doing} by process {holder.pid} on {holder.host} since {since}"


def _way_out(path: Path, *, alive: bool | None, age: float) -> str:
    if alive:
        return "wait until it has ended"
    seen = f"last seen {age:.0f} s ago" if age >= 0 else "its time lies in the future"
    minutes = f"after {STALE_SECONDS / 60:.0f} minutes without a sign it counts as abandoned"
    return f"{seen}, {minutes}; if nobody works on the store, remove {path}"


def _refresh(held: Maintenance, done: threading.Event) -> None:
    while not done.wait(REFRESH_SECONDS):
        held.refresh()
