"""Answers questions about many runs from SQLite in the user's cache directory.

Everything in it can be made again from the store at any time, and is when anything looks wrong.
It is brought up to date before each question: new names in the directories that changed, new packs,
and the runs that were not final when they were last read.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from instrument.errors import InstrumentError, NotFoundError, StoreError
from instrument.query import Condition, matches
from instrument.summary import RunSummary
from instrument_local.files import store_errors
from instrument_local.layout import Layout
from instrument_local.liveness import Markers
from instrument_local.mounts import cache_directory
from instrument_local.search import NotInSql, compile_condition, list_has, values_of
from instrument_local.summaries import Reading, Summaries

if TYPE_CHECKING:
    import sqlite3

VERSION: Final = 6
BUSY_SECONDS = 10.0
# A change within one tick of the file system's clock does not show in a directory's time.
_SETTLED_NS: Final = 5_000_000_000
# `final` of a run: 1, or 0 while it may change, or this while it cannot be read.
_UNREADABLE: Final = -1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS month (name TEXT PRIMARY KEY, modified INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS name (month TEXT, name TEXT, PRIMARY KEY (month, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pack (pack INTEGER PRIMARY KEY, name TEXT UNIQUE, readable INTEGER);
CREATE TABLE IF NOT EXISTS packed (run TEXT, pack INTEGER, PRIMARY KEY (run, pack)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS run (number INTEGER PRIMARY KEY, id TEXT UNIQUE, started INTEGER,
  final INTEGER, signature TEXT, summary BLOB);
CREATE INDEX IF NOT EXISTS newest ON run (started, id, final);
CREATE INDEX IF NOT EXISTS unfinished ON run (id) WHERE final < 1;
CREATE TABLE IF NOT EXISTS field (field INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE IF NOT EXISTS value (field INTEGER, run INTEGER, number REAL, truth INTEGER,
  text BLOB, list BLOB, PRIMARY KEY (field, run)) WITHOUT ROWID;
"""
_MANY_ROWS: Final = 20_000
# Left to itself SQLite would rather read the whole of another index.
_UNFINISHED: Final = "SELECT id FROM run INDEXED BY unfinished WHERE final < 1"
_IN_PACK: Final = "FROM packed WHERE pack=(SELECT pack FROM pack WHERE name=?)"
# Runs of a pack that the index has not read, or of which there is more elsewhere: one that only
# moved is as it was.
_NEWS: Final = """
SELECT run FROM packed this WHERE pack=? AND (
  NOT EXISTS (SELECT 1 FROM run WHERE id=this.run AND signature NOT NULL)
  OR EXISTS (SELECT 1 FROM packed other WHERE other.run=this.run AND other.pack!=this.pack)
  OR EXISTS (SELECT 1 FROM name WHERE month IN (SELECT name FROM month) AND name=this.run))
"""
# The runs are found along an index that has all it takes; only of those found are the rows read.
_NEWEST: Final = """
SELECT summary FROM run JOIN (
  SELECT number AS found FROM run INDEXED BY newest
  WHERE final >= 0 AND ({}) ORDER BY started DESC, id DESC LIMIT ?
) ON number = found ORDER BY started DESC, id DESC
"""
_T = TypeVar("_T")


class Index:
    """The index of one store."""

    def __init__(self, layout: Layout, markers: Markers, summaries: Summaries) -> None:
        self._layout = layout
        self._markers = markers
        self._summaries = summaries
        self._fields: dict[str, int] = {}
        self._rows: list[tuple[Any, ...]] = []
        # As of the last question: at each one what cannot be read is tried again.
        self._unreadable: dict[str, str] = {}
        self._was_asked = False

    def runs(self, where: Condition | None, limit: int | None) -> list[RunSummary]:
        """See `instrument.protocols.Catalogue`."""
        with store_errors(f"list the runs of {self._layout.root}"):
            return self._ask(lambda database: list(_select(database, where, limit)))

    def run_ids(self, prefix: str) -> list[str]:
        """Ids of the runs that start with `prefix`, sorted. Raises as `runs`."""
        with store_errors(f"list the runs of {self._layout.root}"):
            return self._ask(lambda database: _select_ids(database, prefix))

    def unreadable(self) -> dict[str, str]:
        """See `instrument.protocols.packing.Packs`. Raises as `runs`."""
        if not self._was_asked:
            self.run_ids(".")
        return self._unreadable

    def _ask(self, question: "Callable[[sqlite3.Connection], list[_T]]") -> list[_T]:
        """The answer of the index as the store is now; from memory where it can be kept nowhere."""
        import sqlite3

        if self._layout.format is None and not self._layout.lacks_format():
            return []
        path = self.path()
        for attempt in (path, path, None):
            try:
                with closing(self._open(attempt)) as database:
                    self._unreadable = {}
                    self._refresh(database)
                    self._was_asked = True
                    return question(database)
            except sqlite3.DatabaseError as error:
                # Somebody else's long rebuild is no damage; anything else is.
                if attempt is None:
                    raise StoreError(f"cannot search the store: {error}") from error
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    _delete(attempt)
        raise AssertionError  # the last attempt returns or raises

    def path(self) -> Path | None:
        """Where the index lies; None when it is made in memory for each question."""
        directory, store_id = cache_directory(), self._layout.store_id
        return directory / f"{store_id}-{VERSION}.sqlite" if directory and store_id else None

    def _open(self, path: Path | None) -> "sqlite3.Connection":
        import sqlite3

        database = sqlite3.connect(path or ":memory:", timeout=BUSY_SECONDS, isolation_level=None)
        try:
            database.execute("PRAGMA synchronous=OFF")
            database.execute("PRAGMA cache_size=-65536")  # KiB
            database.create_function("list_has", 2, list_has, deterministic=True)
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version == 0:
                database.executescript(
                    f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version={VERSION};COMMIT"
                )
        except BaseException:
            database.close()
            raise
        return database

    def _refresh(self, database: "sqlite3.Connection") -> None:
        """Bring the index up to date, in one transaction, if anything changed."""
        months = self._changed_months(database)
        packs = self._changed_packs(database)
        unfinished = {run_id for (run_id,) in database.execute(_UNFINISHED)}
        alive = self._markers.alive_run_ids()
        stale = alive | unfinished
        if not (months or packs or stale):
            return
        database.execute("BEGIN IMMEDIATE")
        self._fields = dict(database.execute("SELECT name, field FROM field"))
        self._rows = []
        gone = set[str]()
        for month, modified in months.items():
            new, old = self._changed_names(database, month)
            stale |= new
            gone |= old
            database.execute("INSERT OR REPLACE INTO month VALUES (?,?)", (month, modified))
        # Listed after the names: a pack is there before runs go into it.
        stale |= self._take_packs(database, self._changed_packs(database))
        stale |= {run_id for run_id in gone if not _is_packed(database, run_id)}
        for run_id in sorted(stale):
            self._read_run(database, run_id, alive=run_id in alive)
        self._put_values(database)
        database.execute("COMMIT")

    def _changed_months(self, database: "sqlite3.Connection") -> dict[str, int]:
        """Directories whose names may have changed, with the time to remember for each."""
        known = dict(database.execute("SELECT name, modified FROM month"))
        now, changed = time.time_ns(), {}
        for month in self._layout.months():
            modified = month.stat().st_mtime_ns
            if known.pop(month.name, None) != modified:
                settled = now - modified > _SETTLED_NS
                changed[month.name] = modified if settled else -1
        for gone in known:
            changed[gone] = -1
        return changed

    def _changed_packs(self, database: "sqlite3.Connection") -> set[str]:
        """Packs that came or went, and those that could not be read."""
        known = dict[str, int](database.execute("SELECT name, readable FROM pack").fetchall())
        unreadable = {name for name, readable in known.items() if not readable}
        return self._layout.packs.names() ^ known.keys() | unreadable

    def _changed_names(
        self, database: "sqlite3.Connection", month: str
    ) -> tuple[set[str], set[str]]:
        """Runs of which `month` has a name that it had not, and runs of which it lacks one."""
        try:
            names = os.listdir(self._layout.runs / month)  # noqa: PTH208 - names are enough
        except (FileNotFoundError, NotADirectoryError):
            names = []
        found = {name for name in names if name.isascii()}  # as all of ours are
        rows = database.execute("SELECT name FROM name WHERE month=?", (month,))
        known = {name for (name,) in rows}
        database.executemany(
            "DELETE FROM name WHERE month=? AND name=?", [(month, name) for name in known - found]
        )
        database.executemany(
            "INSERT INTO name VALUES (?,?)", [(month, name) for name in sorted(found - known)]
        )
        return _runs_of(found - known), _runs_of(known - found)

    def _take_packs(self, database: "sqlite3.Connection", changed: set[str]) -> set[str]:
        """Note down what the `changed` packs hold; the runs that must be looked at for it."""
        stale, there = set[str](), self._layout.packs.names()
        for name in sorted(changed - there):
            rows = database.execute(f"SELECT run {_IN_PACK}", (name,))
            stale |= {run_id for (run_id,) in rows}
            database.execute(f"DELETE {_IN_PACK}", (name,))
            database.execute("DELETE FROM pack WHERE name=?", (name,))
        for name in sorted(changed & there):
            try:
                run_ids, readable = self._layout.packs.pack(name).run_ids, True
            except (InstrumentError, OSError) as error:
                run_ids, readable = [], False
                self._unreadable[name] = _reason(error)
            add = "INSERT OR REPLACE INTO pack (name, readable) VALUES (?,?)"
            cursor = database.execute(add, (name, readable))
            pairs = [(run_id, cursor.lastrowid) for run_id in run_ids]
            database.executemany("INSERT INTO packed VALUES (?,?)", pairs)
            stale |= {run for (run,) in database.execute(_NEWS, (cursor.lastrowid,))}
        return stale

    def _read_run(self, database: "sqlite3.Connection", run_id: str, *, alive: bool) -> None:
        """Put the run as it is now into the index, unless it is there already."""
        try:
            row = database.execute("SELECT signature FROM run WHERE id=?", (run_id,)).fetchone()
            if row is None or row[0] != f"{self._summaries.signature(run_id)} {alive}":
                reading = self._summaries.read(run_id, alive=alive)
                if row is not None:
                    _forget(database, run_id)
                self._put(database, reading, f"{reading.signature} {alive}")
        except (InstrumentError, OSError) as error:
            _forget(database, run_id)
            if self._layout.has_run(run_id):
                database.execute("INSERT INTO run (id, final) VALUES (?,?)", (run_id, _UNREADABLE))
                if not isinstance(error, NotFoundError):  # else it has only just begun
                    self._unreadable[run_id] = _reason(error)

    def _put(self, database: "sqlite3.Connection", reading: Reading, signature: str) -> None:
        run = reading.summary
        started = int(run.started_at.timestamp() * 1_000_000) if run.started_at else None
        cursor = database.execute(
            "INSERT INTO run (id, started, final, signature, summary) VALUES (?,?,?,?,?)",
            (run.id, started, reading.is_final, signature, msgspec.json.encode(run)),
        )
        number, fields = cursor.lastrowid, self._fields
        for name, value in values_of(run):
            field = fields.get(name) or self._field(database, name)
            self._rows.append((field, number, *value))
        if len(self._rows) > _MANY_ROWS:
            self._put_values(database)

    def _put_values(self, database: "sqlite3.Connection") -> None:
        """Write the rows that wait, in the order in which they will lie: by field and run."""
        self._rows.sort(key=itemgetter(0))  # runs are numbered as they come
        database.executemany("INSERT INTO value VALUES (?,?,?,?,?,?)", self._rows)
        self._rows = []

    def _field(self, database: "sqlite3.Connection", name: str) -> int:
        cursor = database.execute("INSERT INTO field (name) VALUES (?)", (name,))
        self._fields[name] = cursor.lastrowid or 0
        return self._fields[name]


def _runs_of(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def _is_packed(database: "sqlite3.Connection", run_id: str) -> bool:
    row = database.execute("SELECT 1 FROM packed WHERE run=?", (run_id,)).fetchone()
    return row is not None


def _select_ids(database: "sqlite3.Connection", prefix: str) -> list[str]:
    """The ids that start with `prefix`, which are ASCII."""
    query = "SELECT id FROM run WHERE id >= ? AND id < ? ORDER BY id"
    return [run_id for (run_id,) in database.execute(query, (prefix, prefix + "\x7f"))]


def _reason(error: Exception) -> str:
    """Why something cannot be read, in a few words."""
    cause = error.__cause__ if isinstance(error, StoreError) else error
    return getattr(cause, "strerror", None) or "damaged"


def _select(
    database: "sqlite3.Connection", where: Condition | None, limit: int | None
) -> Iterator[RunSummary]:
    """The runs that meet `where`, newest first."""
    remaining = limit
    sql, parameters = "1", list[Any]()
    if where is not None:
        try:
            sql, parameters = compile_condition(where)
            where = None
        except NotInSql:
            pass
    at_most = -1 if limit is None or where is not None else limit
    for (summary,) in database.execute(_NEWEST.format(sql), [*parameters, at_most]):
        if remaining == 0:
            return
        run = _decode(summary)
        if where is None or matches(where, run):
            yield run
            remaining = None if remaining is None else remaining - 1


_decode: Final = msgspec.json.Decoder(RunSummary).decode


def _forget(database: "sqlite3.Connection", run_id: str) -> None:
    row = database.execute("SELECT number, summary FROM run WHERE id=?", (run_id,)).fetchone()
    if row is None:
        return
    names: Iterable[str] = (name for name, _ in values_of(_decode(row[1] or b'{"id":""}')))
    database.executemany(
        "DELETE FROM value WHERE run=? AND field=(SELECT field FROM field WHERE name=?)",
        [(row[0], name) for name in names],
    )
    database.execute("DELETE FROM run WHERE number=?", (row[0],))


def _delete(path: Path) -> None:
    for ending in ("", "-journal", "-wal", "-shm"):
        with suppress(OSError):
            path.with_name(path.name + ending).unlink()
