"""The journal of a process whose store may hang: records wait on a local disk when it does.

A thread of its own writes the journal, and whoever records waits for it: when the call returns the
record is as safe as on a local disk. If that takes longer than `RECORD_SECONDS` the store counts as
hung. From then on records go without waiting to the *spool*, a small store on a local disk. When
the hung call comes back the thread carries the spool over into the journal and removes it. If the
process ends before that the spool stays, and the user is told where it is.
"""

import os
import queue
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from instrument import threads
from instrument.errors import InstrumentError
from instrument.protocols import Clock
from instrument.records import ProcessStarted, Record, RecordsLost
from instrument_local.files import Disk, is_directory
from instrument_local.flusher import flusher
from instrument_local.journal import Journal
from instrument_local.journal_files import writer_name
from instrument_local.layout import Layout
from instrument_local.liveness import Markers
from instrument_local.mounts import is_usable, may_hang
from instrument_local.patience import RECORD_SECONDS
from instrument_local.summaries import Summaries

MAX_RECORDS: Final = 1_000_000
"""What a spool may hold; further records are lost, and counted."""


class _Ticket:
    """Something for the thread to do."""

    __slots__ = ("action", "at", "began", "done", "spooled")

    def __init__(self, action: Callable[[Journal], None], at: datetime | None = None) -> None:
        self.action = action
        self.at = at
        self.began = time.monotonic()
        self.done = threading.Lock()
        self.done.acquire()
        self.spooled = False


class SpooledJournal:
    """See `instrument.protocols.Records`. No method waits much longer than `RECORD_SECONDS`.

    Args:
        open_journal: Opens the journal in the store; may hang.
        process: First record of each file.
        clock: The time.
    """

    def __init__(
        self, open_journal: Callable[[], Journal], process: ProcessStarted, clock: Clock
    ) -> None:
        self._open_journal = open_journal
        self._home = SpoolHome(process, clock)
        self._lock = threading.RLock()  # a signal handler may record
        self._tickets: queue.SimpleQueue[_Ticket] = queue.SimpleQueue()
        self._journal: Journal | None = None
        self._spool: Spool | None = None
        self._full: list[Spool] = []  # waiting to be carried over
        self._written_late: set[datetime] = set()
        self._tending: _Ticket | None = None
        self._dropped = 0
        self._closed = False
        threads.start(threading.Thread(target=self._work, name="instrument-journal", daemon=True))
        self._do(_Ticket(_nothing))  # done when the journal is open
        flusher.watch(self)

    @property
    def lost(self) -> int:
        """See `instrument.protocols.Records`."""
        with self._lock:
            spools = [*self._full, *([self._spool] if self._spool is not None else [])]
            waiting = sum(spool.lost for spool in spools)
            return self._dropped + waiting + (self._journal.lost if self._journal else 0)

    @property
    def reason(self) -> str:
        """See `instrument.protocols.Records`."""
        journal = self._journal
        return (journal.reason if journal is not None else "") or "the store does not answer"

    @property
    def spool(self) -> str | None:
        """See `instrument.protocols.Records`."""
        waits = self._spool is not None or self._full
        return str(self._home.directory) if waits else None

    def take(self, record: Record, at: datetime) -> None:
        """See `instrument.protocols.Records`."""
        if self._closed:
            self._dropped += 1
            return
        if self._spool is not None:
            with self._lock:
                if self._spool is not None:
                    self._spool.take(record, at)
                    return
        ticket = _Ticket(lambda journal: journal.take(record, at), at)
        self._tickets.put(ticket)
        if not ticket.done.acquire(timeout=RECORD_SECONDS):
            with self._lock:
                if not ticket.done.acquire(blocking=False):
                    ticket.spooled = True
                    self._switch().take(record, at)

    def flush(self) -> None:
        """See `instrument.protocols.Records`: durable in the store, or in the spool."""
        if self._spool is None:
            self._do(_Ticket(Journal.flush))
        spool = self._spool
        if spool is not None:
            spool.journal.flush()

    def tend(self, *, heartbeat: bool) -> None:
        """Let the thread do it, and see whether the last time has come to an end."""
        with self._lock:
            pending = self._tending
            if self._closed:
                return
            if pending is None or pending.done.acquire(blocking=False):
                self._tending = _Ticket(lambda journal: journal.tend(heartbeat=heartbeat))
                self._tickets.put(self._tending)
            elif time.monotonic() - pending.began > RECORD_SECONDS:
                self._switch()
            spool = self._spool
        if spool is not None:
            spool.journal.sync()

    def close(self) -> None:
        """See `instrument.protocols.Records`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        flusher.forget(self)
        last = _Ticket(Journal.close)
        if self._spool is None:
            self._do(last)
        else:
            self._tickets.put(last)  # for when the store answers again, should we live so long
        with self._lock:
            if self._spool is not None:
                self._spool.journal.close()

    def disown(self) -> None:
        """In a forked child: the journal and its thread are the parent's."""
        self._closed = True
        self._lock = threading.RLock()
        self._journal = self._spool = None
        self._full = []

    def _do(self, ticket: _Ticket) -> None:
        """Have the thread do it, and wait; the store counts as hung when that takes too long."""
        self._tickets.put(ticket)
        if not ticket.done.acquire(timeout=RECORD_SECONDS):
            with self._lock:
                if not ticket.done.acquire(blocking=False):
                    self._switch()

    def _switch(self) -> "Spool":
        """The spool, made now if there is none."""
        if self._spool is None:
            self._spool = self._home.new()
        return self._spool

    # --- the thread ----------------------------------------------------------------------------

    def _work(self) -> None:
        journal = self._journal = self._open_journal()
        while True:
            ticket = self._tickets.get()
            if not ticket.spooled:
                ticket.action(journal)
                with self._lock:
                    if _was_spooled(ticket) and ticket.at is not None:  # nobody waited so long
                        self._written_late.add(ticket.at)
                    ticket.done.release()
            self._carry_over(journal)
            if ticket.action is Journal.close:
                return

    def _carry_over(self, journal: Journal) -> None:
        """The store answers again: bring what waits in the spool into the journal."""
        with self._lock:
            spool, self._spool = self._spool, None
            if spool is None:
                return
            self._full.append(spool)
        spool.journal.close()
        dropped = spool.lost
        for record, at in spool.records():
            if at not in self._written_late:
                journal.take(record, at)
        with self._lock:
            self._full.remove(spool)
            self._dropped += dropped
            self._written_late.clear()
            spool.remove()
            if self.spool is None:
                self._home.remove()


class SpoolHome:
    """The store on a local disk in which the spools of one journal are.

    Args:
        process: The process.
        clock: The time.
    """

    def __init__(self, process: ProcessStarted, clock: Clock) -> None:
        self._process = process
        self._clock = clock
        self._number = 0
        own = f"{process.run_id}-{process.pid}-{secrets.token_hex(4)}"
        self.directory = _local_directory() / own

    def new(self) -> "Spool":
        """A new spool."""
        self._number += 1
        layout = Layout(self.directory, self._clock, Disk())
        # Another name than that of the journal in the store: the two can be put side by side.
        name = f"{writer_name(self._process)}-spool{self._number}"
        journal = Journal(layout, Markers(layout), self._clock, self._process, name)
        return Spool(layout, journal, self._process.run_id, name)

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.directory, ignore_errors=True)


class Spool:
    """Records that wait for the store to answer."""

    def __init__(self, layout: Layout, journal: Journal, run_id: str, name: str) -> None:
        self.journal = journal
        self._layout = layout
        self._run_id = run_id
        self._name = name
        self._taken = self._refused = 0

    @property
    def lost(self) -> int:
        """How many records it could not take."""
        return self.journal.lost + self._refused

    def take(self, record: Record, at: datetime) -> None:
        """Take one record, or count it as lost."""
        if self._taken >= MAX_RECORDS:
            self._refused += 1
            return
        self._taken += 1
        self.journal.take(record, at)

    def records(self) -> Iterator[tuple[Record, datetime]]:
        """What it has taken, and last what it has not."""
        with suppress(InstrumentError, OSError):
            for entry in Summaries(self._layout, Markers(self._layout)).entries(self._run_id):
                own = entry.writer == self._name or entry.writer.startswith(f"{self._name}-")
                if own and not isinstance(entry.record, ProcessStarted):
                    yield entry.record, entry.at
        if self._refused:
            reason = "the store did not answer, and the spool was full"
            yield RecordsLost(count=self._refused, reason=reason), datetime.now().astimezone()

    def remove(self) -> None:
        """Remove its files."""
        for directory in self._layout.run_directories(self._run_id):
            for path in directory.glob(f"{self._name}*"):
                path.unlink(missing_ok=True)


def _was_spooled(ticket: _Ticket) -> bool:
    """Whether whoever asked for it gave up meanwhile."""
    return ticket.spooled


def _nothing(journal: Journal) -> None:
    """Done when the journal is open."""


def spool_directories() -> list[Path]:
    """All spools of this user that wait on this host."""
    found = []
    for place in _places():
        with suppress(OSError):
            found += [path for path in sorted(place.iterdir()) if is_directory(path)]
    return found


def _places() -> Iterator[Path]:
    """Where spools may lie."""
    for place in (os.environ.get("SLURM_TMPDIR"), tempfile.gettempdir(), "/dev/shm"):  # noqa: S108 - made private below
        directory = Path(place or "") / f"instrument-spool-{os.getuid()}"
        if directory.is_absolute() and not may_hang(directory):
            yield directory


def _local_directory() -> Path:
    """A private directory on a disk that does not hang; where there is none, nothing is kept."""
    return next((place for place in _places() if is_usable(place)), Path(os.devnull))
