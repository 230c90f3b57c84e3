"""Digests of files that were hashed before, so that an unchanged file is not read again.

A cache in the user's cache directory: deleting it costs time and nothing else. A file counts as
unchanged when device, inode, size and both times are as they were.
"""

import os
import time
import weakref
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Final

from instrument_local.mounts import cache_directory

if TYPE_CHECKING:
    import sqlite3

# A change within one tick of the file system's clock does not show in its times.
_SETTLED_NS: Final = 2_000_000_000
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS hash (device INTEGER, inode INTEGER, size INTEGER,"
    " modified INTEGER, changed INTEGER, digest TEXT, PRIMARY KEY (device, inode)) WITHOUT ROWID"
)


class HashCache:
    """Remembers digests by what `os.stat` says. Never raises; what it cannot keep it forgets."""

    def __init__(self) -> None:
        self._pid = 0
        self._seen: dict[tuple[int, ...], str] = {}

    def get(self, status: os.stat_result) -> str | None:
        """The digest of the file that has this `status`, if it is known."""
        key = _key(status)
        if key in self._seen:
            return self._seen[key]
        database = self._database
        if database is None:
            return None
        with suppress(Exception):
            row = database.execute(
                "SELECT digest FROM hash WHERE device=? AND inode=? AND size=? AND modified=?"
                " AND changed=?",
                key,
            ).fetchone()
            return str(row[0]) if row else None
        return None

    def put(self, status: os.stat_result, digest: str, *, immutable: bool = False) -> None:
        """Remember `digest`, unless the file may have changed since without showing it.

        Args:
            status: What `os.stat` said before the file was hashed.
            digest: Its digest.
            immutable: Nobody writes to the file.
        """
        age_ns = time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns)
        if age_ns < _SETTLED_NS and not immutable:
            return
        key = _key(status)
        self._seen[key] = digest
        database = self._database
        if database is not None:
            with suppress(Exception):
                database.execute("INSERT OR REPLACE INTO hash VALUES (?,?,?,?,?,?)", (*key, digest))

    @property
    def _database(self) -> "sqlite3.Connection | None":
        if self._pid != os.getpid():  # a connection must not cross a fork
            self._pid = os.getpid()
            self.__dict__.pop("_connection", None)
        return self._connection

    @cached_property
    def _connection(self) -> "sqlite3.Connection | None":
        import sqlite3

        directory = cache_directory()
        if directory is None:
            return None
        try:
            database = sqlite3.connect(
                directory / "hashes.sqlite",
                timeout=0.2,
                isolation_level=None,
                check_same_thread=False,
            )
            weakref.finalize(self, database.close)
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=OFF")
            database.execute(_TABLE)
        except sqlite3.Error:
            return None
        return database


def _key(status: os.stat_result) -> tuple[int, ...]:
    # SQLite has signed numbers of 64 bits.
    numbers = (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
    return tuple(number & 0x7FFF_FFFF_FFFF_FFFF for number in numbers)
