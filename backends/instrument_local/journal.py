"""The journal of one process: a file with one writer, one `write` a record, chained.

What cannot be written is counted; as soon as writing works again a new file goes on (a file in
which a write failed is never written to again) and first tells how many records were lost.
"""

import hashlib
import os
import threading
import time
from binascii import hexlify
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final

from instrument.protocols import Clock
from instrument.records import (
    ExceptionRaised,
    ProcessFinished,
    ProcessStarted,
    Record,
    RecordsLost,
    RunFinished,
    TelemetrySampled,
)
from instrument_local.files import write_all
from instrument_local.flusher import flusher
from instrument_local.journal_files import open_next, reopen_run, set_space_aside, writer_name
from instrument_local.layout import Layout
from instrument_local.lines import (
    END,
    MARK,
    Line,
    chain_of,
    encode_line,
    encode_line_into,
    finish_line,
    genesis,
)
from instrument_local.liveness import RESERVE, Markers, drop

if TYPE_CHECKING:
    from pathlib import Path

RETRY_SECONDS: Final = 0.25
SAMPLES_WAIT_SECONDS: Final = 10
"""Samples of an idle run are synced together; anything else within a second, and they with it."""
_IN_HANDLER_SECONDS: Final = 2.0
"""So long the end of a journal waits in a signal handler for a sync that is under way."""
_LAST_WORDS: Final = (RunFinished, ProcessFinished, ExceptionRaised)
_new_hash: Final = hashlib.sha256().copy


class Journal:
    """See `instrument.protocols.Records`. No method raises for what the disk does.

    Args:
        layout: Where the store keeps things.
        markers: Who is recording.
        clock: The time.
        process: First record of each of the journal's files.
        name: Of the files; by default that of the process.
    """

    def __init__(
        self,
        layout: Layout,
        markers: Markers,
        clock: Clock,
        process: ProcessStarted,
        name: str | None = None,
    ) -> None:
        self._layout = layout
        self._notices = layout.notices
        self._markers = markers
        self._clock = clock
        self._process = process
        self._name = name or writer_name(process)
        self._disk = layout.files.disk
        self._locks()
        self._closed = False
        self._busy = False
        self._later: list[tuple[Record, datetime]] = []
        self._lost = 0
        self._told = 0
        self._reason = ""
        self._retry_at = 0.0
        self._marker: Path | None = None
        self._reserved = False
        self._segments = 0
        self._to_sync: list[Path] = []
        self._retired: list[int] = []
        self._fd = -1
        self._seq = self._synced = self._tended = self._calm_seconds = 0
        self._chain = b""
        # Bound here once, for the hot path.
        self._line = Line(0, clock.now(), None)
        self._buffer = bytearray()  # each line in turn
        self._write = self._disk.write
        with self._lock:
            self._go_on(urgent=False)

    def _locks(self) -> None:
        # Both may be entered again by a signal handler that records something.
        self._lock = threading.RLock()  # what a record changes
        self._sync_lock = threading.RLock()  # held while syncing; taken before the other

    spool: str | None = None
    """See `instrument.protocols.Records`: what it cannot write is lost, and waits nowhere."""

    @property
    def lost(self) -> int:
        """See `instrument.protocols.Records`; the first record is lost until a file holds it."""
        return self._lost + (self._segments == 0)

    @property
    def reason(self) -> str:
        """See `instrument.protocols.Records`."""
        return self._reason

    def take(self, record: Record, at: datetime) -> None:
        """See `instrument.protocols.Records`."""
        lock = self._lock
        try:  # what `with` does, at half its price: this is the hot path
            lock.acquire()
            if self._busy:  # a signal handler, inside another call of this very thread
                self._later.append((record, at))
                return
            try:
                self._busy = True
                try:
                    self._line = line = Line(self._seq, at, record)
                    data = self._buffer
                    encode_line_into(line, data)
                    data.pop()
                    sha256 = _new_hash()
                    sha256.update(self._chain)
                    sha256.update(data)
                    chain = sha256.digest()
                    data += MARK
                    data += hexlify(chain)
                    data += END
                    write = self._write
                    written = write(self._fd, data)
                    if written != len(data):
                        write_all(self._disk, self._fd, data[written:])
                    self._chain = chain
                    self._seq += 1
                except OSError as error:
                    self._salvage(record, at, error)
                except Exception as error:
                    self._refuse(error, at)
            except BaseException:  # Ctrl-C: nobody knows whether the line is there
                self._retire()
                raise
            finally:
                self._busy = False
            if self._later or self._notices:
                self._take_later()
        finally:
            try:  # noqa: SIM105 - as above
                lock.release()
            except RuntimeError:  # Ctrl-C came while it waited
                pass

    def flush(self) -> None:
        """See `instrument.protocols.Records`."""
        self._retry_at = 0.0
        self.sync()
        self._make_reserve()

    def sync(self) -> None:
        """Make durable what was written; go on in a new file where the last one failed."""
        if not self._is_in_handler():
            with self._sync_lock:
                self._sync()

    def _sync(self) -> None:
        with self._lock:
            if self._closed:
                return
            if self._fd < 0:
                self._go_on(urgent=False)
            if self._fd >= 0 and self._notices:
                self._take_later()
            fd, seq = self._fd, self._seq
            retired, self._retired = self._retired, []
        for old in retired:
            with suppress(OSError):
                self._disk.close(old)
        if fd >= 0 and seq != self._synced:
            self._sync_file(fd, seq)

    def _is_in_handler(self) -> bool:
        """Whether this is a signal handler, while this very thread has the lock, as in `take`.

        It must not wait for a thread that syncs: that one may wait for the lock.
        """
        return self._lock._is_owned()  # type: ignore[attr-defined, no-any-return]  # noqa: SLF001 - as `threading.Condition` asks

    def tend(self, *, heartbeat: bool) -> None:
        """What the flusher does for a journal each second; `heartbeat` tells other hosts too."""
        with self._lock:
            self._busy = False  # nobody is inside `take`: this thread has the lock
            if self._later:
                self._take_later()
            is_due = self._is_sync_due()
        if is_due:
            self.sync()
        self._make_reserve()
        marker = self._marker
        if heartbeat and marker is not None:
            with suppress(OSError):
                os.utime(marker)

    def _is_sync_due(self) -> bool:
        """Asked once a second. A few samples of telemetry may wait for one another."""
        taken, self._tended = self._seq - self._tended, self._seq
        is_calm = taken == 0 or (taken == 1 and type(self._line.record) is TelemetrySampled)
        self._calm_seconds = self._calm_seconds + 1 if is_calm else 0
        if self._fd < 0 or self._retired:
            return True
        if self._seq == self._synced:
            return False
        return bool(self._to_sync) or self._calm_seconds % SAMPLES_WAIT_SECONDS == 0

    def close(self) -> None:
        """See `instrument.protocols.Records`."""
        limit_seconds = _IN_HANDLER_SECONDS if self._is_in_handler() else -1
        syncs_alone = self._sync_lock.acquire(timeout=limit_seconds)
        try:
            with self._lock:
                if not self._closed:
                    self._close()
        finally:
            if syncs_alone:  # else the other thread waits for the lock, and finds this closed
                self._sync_lock.release()
        flusher.forget(self)

    def _close(self) -> None:
        if self._busy:  # a signal handler, inside `take`: nobody knows what is in the file
            self._retire()
            self._busy = False
            self._buffer = bytearray()  # the old one may be in use by that call
            self._take_later()
        if self._fd < 0 or self._lost > self._told:
            self._retire()
            self._go_on(urgent=True)
        self._sync()
        self._closed = True
        self._retire()
        for fd in self._retired:
            with suppress(OSError):
                self._disk.close(fd)
        self._retired = []
        if self._marker is not None:
            drop(self._disk, self._marker)

    def disown(self) -> None:
        """In a forked child: the file is the parent's; what is taken here counts as lost."""
        self._locks()
        self._closed = True
        self._busy = False
        self._later = []
        if self._fd >= 0:
            with suppress(OSError):
                os.close(self._fd)
        self._fd = -1

    def _append(self, record: Record, at: datetime) -> None:
        """As `take`, raising what goes wrong."""
        body = encode_line(Line(self._seq, at, record))[:-1]
        chain = chain_of(body, self._chain)
        write_all(self._disk, self._fd, finish_line(body, chain))
        self._chain = chain
        self._seq += 1

    def _salvage(self, record: Record, at: datetime, error: OSError) -> None:
        """A write failed: put `record` into a new file if possible, else count it."""
        if self._closed:
            self._lost += 1
            return
        if self._fd >= 0:
            self._reason = error.strerror or str(error)
            self._retire()
        if self._go_on(urgent=isinstance(record, _LAST_WORDS)):
            try:
                self._append(record, at)
                return
            except OSError as again:
                self._reason = again.strerror or str(again)
                self._retire()
        self._lost += 1

    def _refuse(self, error: Exception, at: datetime) -> None:
        """A record that has no JSON form is lost, and that is told at once."""
        self._lost += 1
        self._reason = f"the record has no JSON form: {error}"[:500]
        try:
            self._append(RecordsLost(count=1, reason=self._reason), at)
            self._told += 1
        except OSError:
            self._retire()

    def _take_later(self) -> None:
        """Take what came from a signal handler meanwhile, and what the store set right."""
        later, self._later = self._later, []
        with suppress(IndexError):  # another journal took it
            while self._notices:
                later.append((self._notices.popleft(), self._clock.now()))
        for record, at in later:
            self.take(record, at)

    def _retire(self) -> None:
        """Never write to this file again; it is closed where waiting does no harm."""
        if self._fd >= 0:
            self._retired.append(self._fd)
        self._fd = -1

    def _go_on(self, *, urgent: bool) -> bool:
        """Open the next file, if that works and is not tried too often.

        Args:
            urgent: Give up the reserve for what comes now.
        """
        if not urgent and time.monotonic() < self._retry_at:
            return False
        if urgent and self._marker is not None:
            with suppress(OSError):
                self._disk.unlink(self._marker.with_suffix(RESERVE))
        try:
            self._open_file()
        except OSError as error:
            self._reason = error.strerror or str(error)
            self._retry_at = time.monotonic() + RETRY_SECONDS
            return False
        return True

    def _open_file(self) -> None:
        """Open a new file with its first records.

        Raises:
            OSError: It cannot be written; nothing is left behind.
        """
        self._layout.create()
        directory = self._layout.run_directory_to_write(self._process.run_id)
        files = self._layout.files
        if not files.make_once(directory):
            reopen_run(self._layout, directory)
        if self._marker is None:
            self._marker = self._markers.open(self._process, self._name)
        fd, path = open_next(self._layout, directory, self._name, self._segments)
        now, untold = self._clock.now(), self._lost - self._told
        self._fd, self._seq, self._synced = fd, 0, 0
        self._chain = genesis(self._process.run_id, path.stem)
        try:
            self._append(self._process, now)
            if untold:
                self._append(RecordsLost(count=untold, reason=self._reason), now)
        except BaseException:
            self._fd = -1
            with suppress(OSError):
                self._disk.close(fd)
            with suppress(OSError):
                self._disk.unlink(path)
            raise
        self._told = self._lost
        self._segments += 1
        self._to_sync += [*files.above(directory), directory]

    def _sync_file(self, fd: int, seq: int) -> None:
        files = self._layout.files
        try:
            files.sync(fd, data_only=True)
            while self._to_sync:
                files.sync_directory(self._to_sync[-1])
                self._to_sync.pop()
        except OSError as error:
            # The kernel may have dropped what it could not write, and says so only once.
            with self._lock:
                if self._fd == fd:
                    self._retire()
                self._lost += seq - self._synced
                self._reason = f"sync failed, perhaps lost: {error.strerror or error}"
        else:
            self._synced = seq

    def _make_reserve(self) -> None:
        """Set space aside, so that on a full disk the end of the run can still be told."""
        if self._marker is None or self._fd < 0 or self._reserved or self._closed:
            return
        self._reserved = True
        with suppress(OSError):
            set_space_aside(self._disk, self._marker.with_suffix(RESERVE))
