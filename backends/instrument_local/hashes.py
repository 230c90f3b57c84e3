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
Row = tuple[int, int, int, int, int, str, int | None, int | None]
"""A file, its digest, and of a source the inode and the time of change of its object."""

# A change within one tick of the file system's clock does not show in its times. The coarsest
# clock has two seconds (FAT).
_SETTLED_NS: Final = 2_000_000_000
_ASKED_AT_ONCE: Final = 500
_PASSED_OVER: Final = 4  # rows that may lie between those that are asked for, for each of them
_LARGEST: Final = 0x7FFF_FFFF_FFFF_FFFF
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS hashed (device INTEGER, inode INTEGER, size INTEGER,"
    " modified INTEGER, changed INTEGER, digest TEXT, object_inode INTEGER,"
    " object_changed INTEGER, PRIMARY KEY (device, inode)) WITHOUT ROWID"
)
_PUT: Final = "INSERT OR REPLACE INTO hashed VALUES (?,?,?,?,?,?,?,?)"


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


def row_of(key: Key, digest: str, its_object: Key | None = None) -> Row:
    """What is remembered of a file.

    Args:
        key: The file.
        digest: Its digest.
        its_object: What its object is like, where it is a source.
    """
    inode, changed = (its_object[1], its_object[4]) if its_object else (None, None)
    return *key, digest, inode, changed


def is_object(row: Row, key: Key) -> bool:
    """Whether the object with `key` is as it was when the source of `row` was stored in it.

    No two states of files have the same inode and time of change.
    """
    return row[7] == key[4] and row[6] == key[1]


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
        return [row and row[5] for row in self.rows(keys)]

    def rows(self, keys: Sequence[Key]) -> list[Row | None]:
        """For each file what is known of it."""
        found: dict[Key, Row] = {}
        with suppress(Exception):
            database = self._database()
            near = sorted(keys)  # in the order of the table: twice as fast
            for start in range(0, len(near), _ASKED_AT_ONCE):
                _ask(database, near[start : start + _ASKED_AT_ONCE], found)
        return [found.get(key) for key in keys]

    def put(self, rows: Iterable[Row]) -> None:
        """Remember files, all at once; see `row_of`."""
        with suppress(Exception):
            database = self._database()
            with self._lock, database:
                database.execute("BEGIN")
                database.executemany(_PUT, rows)

    def _database(self) -> "sqlite3.Connection":
        if self._open is None or self._pid != os.getpid():  # a connection must not cross a fork
            self._pid, self._lock = os.getpid(), threading.Lock()
            self._open = _connect()
            weakref.finalize(self, self._open.close)
        return self._open


def _ask(database: "sqlite3.Connection", keys: Sequence[Key], found: dict[Key, Row]) -> None:
    """Put what is known of the inodes of files on, mostly, one device into `found`."""
    for device in {key[0] for key in keys}:
        inodes = [key[1] for key in keys if key[0] == device]
        for row in _rows(database, device, inodes):
            found[row[:5]] = row


def _rows(database: "sqlite3.Connection", device: int, inodes: Sequence[int]) -> list[Row]:
    """The rows of `inodes`, which are sorted, and of others between them."""
    most = len(inodes) * (1 + _PASSED_OVER)
    between = database.execute(  # files made together lie together: half as long as one by one
        "SELECT * FROM hashed WHERE device=? AND inode BETWEEN ? AND ? LIMIT ?",
        (device, inodes[0], inodes[-1], most),
    ).fetchall()
    if len(between) < most:
        return between
    marks = ",".join("?" * len(inodes))
    return database.execute(
        f"SELECT * FROM hashed WHERE device=? AND inode IN ({marks})",  # noqa: S608 - marks only
        [device, *inodes],
    ).fetchall()


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
