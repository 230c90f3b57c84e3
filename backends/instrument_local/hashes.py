"""Digests of files that were hashed before, so that an unchanged file is not read again.

A cache in the user's cache directory: deleting it costs time and nothing else. A file counts as
unchanged when device, inode, size and both times are as they were, and it is remembered only where
each later change will show in them (see `look`).
"""

import os
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Final, TypeAlias

from instrument_local.mounts import cache_directory

if TYPE_CHECKING:
    import sqlite3

Key: TypeAlias = bytes
Row: TypeAlias = tuple[Key, str, Key | None]
"""A file, its digest, and of a source what its object was like."""

# A change within one tick of the file system's clock does not show in its times. The coarsest
# clock has two seconds (FAT).
_SETTLED_NS: Final = 2_000_000_000
_ASKED_AT_ONCE: Final = 500
_PASSED_OVER: Final = 4  # rows that may lie between those that are asked for, for each of them
_pack: Final = struct.Struct(">QQQQQ").pack  # large end first: keys sort by device and inode
_LARGEST: Final = 0xFFFF_FFFF_FFFF_FFFF  # a file may say that it is of before 1970, or of 2446
_PLACE: Final = slice(16)  # device and inode: where the file is, whatever it is like
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS files"
    " (place BLOB PRIMARY KEY, key BLOB, digest TEXT, object BLOB) WITHOUT ROWID"
)
_PUT: Final = "INSERT OR REPLACE INTO files VALUES (?,?,?,?)"
# Of sync_file_range(2): wait for what is being written, then begin to write what is dirty.
_WAIT_AND_WRITE: Final = 1 | 2


def is_settled(status: os.stat_result, seen_ns: int) -> bool:
    """Whether a change after `seen_ns`, when `status` was read, will show in the file's times."""
    return seen_ns - max(status.st_mtime_ns, status.st_ctime_ns) >= _SETTLED_NS


def look(fd: int) -> tuple[os.stat_result, bool]:
    """What the file open as `fd` is like, and whether its times will tell of every change to come.

    A page that a program has mapped and written to takes more without a new time, until the system
    writes it to the disk; so that is begun first. What was written to a moment ago is left alone.
    """
    seen_ns, status = time.time_ns(), os.fstat(fd)
    if not is_settled(status, seen_ns):
        return status, False
    try:
        _write_back(fd)
    except OSError:
        return status, False
    status = os.fstat(fd)
    return status, is_settled(status, seen_ns)


def _write_back(fd: int) -> None:
    """Begin to write what is dirty of a file. Of most nothing is, and this costs a microsecond."""
    begin = _sync_file_range()
    if begin is None or begin(fd, 0, 0, _WAIT_AND_WRITE) != 0:
        os.fdatasync(fd)


@cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    """The call of that name, where the system has it."""
    import ctypes

    call = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return call


def key_of(status: os.stat_result) -> Key:
    """What tells one state of a file from every other."""
    return _pack(
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns & _LARGEST,
        status.st_ctime_ns & _LARGEST,
    )


class HashCache:
    """Remembers digests by what `os.stat` says. Never raises; what it cannot keep it forgets.

    Who puts a file here knows that its next change will show (see `look`), or that nobody writes to
    it. Any thread may call.
    """

    def __init__(self) -> None:
        self._pid = 0
        self._open: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def get(self, keys: Sequence[Key]) -> list[str | None]:
        """For each file its digest, where it is known."""
        return [row and row[1] for row in self.rows(keys)]

    def rows(self, keys: Sequence[Key]) -> list[Row | None]:
        """For each file what is known of it."""
        found: dict[Key, Row] = {}
        with suppress(Exception):
            database = self._database()
            near = sorted(keys)  # in the order of the table: twice as fast
            for start in range(0, len(near), _ASKED_AT_ONCE):
                for row in _rows(database, near[start : start + _ASKED_AT_ONCE]):
                    found[row[0]] = row
        return [found.get(key) for key in keys]

    def put(self, rows: Iterable[Row]) -> None:
        """Remember files, all at once."""
        with suppress(Exception):
            database = self._database()
            with self._lock, database:
                database.execute("BEGIN")
                database.executemany(_PUT, ((row[0][_PLACE], *row) for row in rows))

    def _database(self) -> "sqlite3.Connection":
        if self._open is None or self._pid != os.getpid():  # a connection must not cross a fork
            self._pid, self._lock = os.getpid(), threading.Lock()
            self._open = _connect()
            weakref.finalize(self, self._open.close)
        return self._open


def _rows(database: "sqlite3.Connection", keys: Sequence[Key]) -> list[Row]:
    """What is known of the files of `keys`, which are sorted, and of others between them."""
    most = len(keys) * (1 + _PASSED_OVER)
    between = database.execute(  # files made together lie together: half as long as one by one
        "SELECT key, digest, object FROM files WHERE place BETWEEN ? AND ? LIMIT ?",
        (keys[0][_PLACE], keys[-1][_PLACE], most),
    ).fetchall()
    if len(between) < most:
        return between
    marks = ",".join("?" * len(keys))
    return database.execute(
        f"SELECT key, digest, object FROM files WHERE place IN ({marks})",  # noqa: S608 - marks only
        [key[_PLACE] for key in keys],
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
