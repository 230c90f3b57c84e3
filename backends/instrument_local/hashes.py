"""Digests of files that were hashed before, so that an unchanged file is not read again.

A cache in the user's cache directory: deleting it costs time and nothing else. A file counts as
unchanged when device, inode, size and both times are as they were.
"""

import os
import threading
import weakref
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from instrument_local.mounts import cache_directory

if TYPE_CHECKING:
    import sqlite3

Key = tuple[int, int, int, int, int]

# A change within one tick of the file system's clock does not show in its times. The coarsest
# clock has two seconds (FAT).
_SETTLED_NS: Final = 2_000_000_000
_ASKED_AT_ONCE: Final = 500
_LARGEST: Final = 0x7FFF_FFFF_FFFF_FFFF
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS hash (device INTEGER, inode INTEGER, size INTEGER,"
    " modified INTEGER, changed INTEGER, digest TEXT, PRIMARY KEY (device, inode)) WITHOUT ROWID"
)
_ROW: Final = "INSERT OR REPLACE INTO hash VALUES (?,?,?,?,?,?)"


def is_settled(status: os.stat_result, seen_ns: int) -> bool:
    """Whether a change after `seen_ns`, when `status` was read, will show in the file's times."""
    return seen_ns - max(status.st_mtime_ns, status.st_ctime_ns) >= _SETTLED_NS


def key_of(status: os.stat_result) -> Key:
    """What tells one state of a file from every other."""
    # SQLite has signed numbers of 64 bits.
    return (
        status.st_dev & _LARGEST,
        status.st_ino & _LARGEST,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def size_of(key: Key) -> int:
    """The size of the file that `key` tells of, in bytes."""
    return key[2]


class HashCache:
    """Remembers digests by what `os.stat` says. Never raises; what it cannot keep it forgets.

    Who puts a file here knows that it was settled (see `is_settled`) when it was hashed, or that
    nobody writes to it. Any thread may call.
    """

    def __init__(self) -> None:
        self._pid = 0
        self._open: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def get(self, keys: Sequence[Key]) -> list[str | None]:
        """For each file its digest, where it is known."""
        found: dict[Key, str] = {}
        with suppress(Exception):
            database = self._database()
            near = sorted(keys)  # in the order of the table: twice as fast
            for start in range(0, len(near), _ASKED_AT_ONCE):
                _ask(database, near[start : start + _ASKED_AT_ONCE], found)
        return [found.get(key) for key in keys]

    def put(self, rows: Iterable[tuple[Key, str]]) -> None:
        """Remember the digests of files, all at once."""
        with suppress(Exception):
            database = self._database()
            with self._lock, database:
                database.execute("BEGIN")
                database.executemany(_ROW, ((*key, digest) for key, digest in rows))

    def _database(self) -> "sqlite3.Connection":
        if self._open is None or self._pid != os.getpid():  # a connection must not cross a fork
            self._pid, self._lock = os.getpid(), threading.Lock()
            self._open = _connect()
            weakref.finalize(self, self._open.close)
        return self._open


def _ask(database: "sqlite3.Connection", keys: Sequence[Key], found: dict[Key, str]) -> None:
    """Put what is known of the inodes of files on, mostly, one device into `found`."""
    for device in {key[0] for key in keys}:
        inodes = [key[1] for key in keys if key[0] == device]
        marks = ",".join("?" * len(inodes))
        rows = database.execute(
            f"SELECT * FROM hash WHERE device=? AND inode IN ({marks})",  # noqa: S608 - marks only
            [device, *inodes],
        )
        found.update({row[:5]: row[5] for row in rows})


def _connect() -> "sqlite3.Connection":
    """The cache on disk; where there is no place or no room for it, one in memory."""
    import sqlite3

    directory = cache_directory()
    places = [":memory:"] if directory is None else [str(directory / "hashes.sqlite"), ":memory:"]
    for place in places:
        database = sqlite3.connect(
            place, timeout=0.2, isolation_level=None, check_same_thread=False
        )
        try:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=OFF")
            database.execute(_TABLE)
        except sqlite3.Error:
            database.close()
        else:
            return database
    raise sqlite3.OperationalError("SQLite works nowhere")
