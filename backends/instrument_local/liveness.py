"""Who is recording now: a marker in ``open/`` for each process that has a journal open.

A process of this host (same start of the machine, same process namespace) is looked up by its id
and its start; of others the heartbeat, the marker's time of modification, must be fresh by the
clock of the server that keeps the files.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from instrument.errors import IntegrityError
from instrument.records import ProcessStarted
from instrument_local.files import Disk, is_regular, read_file
from instrument_local.layout import Layout
from instrument_local.stamps import stamp, unstamp

HEARTBEAT_SECONDS: Final = 20.0
STALE_SECONDS: Final = 3 * HEARTBEAT_SECONDS
RESERVE: Final = ".reserve"


class Process(msgspec.Struct, kw_only=True):
    """A process as others can look it up. Fields as in `ProcessStarted`."""

    host: str
    boot_id: str | None
    pid: int
    process_start: int | None
    pid_namespace: str | None


class Marker(Process, kw_only=True):
    """Content of a marker: a process that has a journal open."""

    run_id: str
    writer: str


class Markers:
    """The markers of one store."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def open(self, process: ProcessStarted, writer: str) -> Path:
        """Mark `process` as recording.

        Raises:
            OSError: The marker cannot be written.
        """
        marker = Marker(
            run_id=process.run_id,
            writer=writer,
            host=process.host,
            boot_id=process.boot_id,
            pid=process.pid,
            process_start=process.process_start,
            pid_namespace=_own_namespace(),
        )
        path = self._layout.open / f"{process.run_id}~{os.urandom(8).hex()}.json"
        self._layout.files.have_directory(self._layout.open)
        # Not durable: after the death of the machine nobody is recording.
        self._layout.files.publish(path, stamp(msgspec.json.encode(marker)), durable=False)
        return path

    def paths(self, run_id: str | None = None) -> Iterator[Path]:
        """The markers, of one run or of all."""
        try:
            names = os.listdir(self._layout.open)  # noqa: PTH208 - names are enough
        except OSError:
            return
        for name in names:
            if name.endswith(".json") and run_id in {None, name.partition("~")[0]}:
                yield self._layout.open / name

    def alive_run_ids(self) -> set[str]:
        """The runs that a living process records for."""
        return {path.name.partition("~")[0] for path in self.paths() if self.is_alive(path)}

    def alive(self, run_id: str) -> bool:
        """Whether a process that records for the run still lives."""
        return any(self.is_alive(path) for path in self.paths(run_id))

    def drop_dead(self, run_id: str) -> None:
        """Remove the markers of the run's processes that no longer live."""
        disk = self._layout.files.disk
        for path in list(self.paths(run_id)):
            if not self.is_alive(path):
                drop(disk, path)

    def is_alive(self, path: Path) -> bool:
        """Whether the process whose marker is `path` still records."""
        try:
            marker = decode_marker(read_file(path))
        except FileNotFoundError:
            return False
        except (OSError, IntegrityError):
            return self._is_fresh(path)
        known = lives(marker)
        return self._is_fresh(path) if known is None else known

    def _is_fresh(self, path: Path) -> bool:
        try:
            return server_time(self._layout) - path.stat().st_mtime < STALE_SECONDS
        except OSError:
            return False


def decode_marker(data: bytes) -> Marker:
    """The marker with the content `data`.

    Raises:
        IntegrityError: It is damaged.
    """
    try:
        return msgspec.json.decode(unstamp(data), type=Marker)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise IntegrityError(f"a marker is damaged: {error}") from error


def this_process() -> Process:
    """The calling process."""
    pid = os.getpid()
    return Process(
        host=os.uname().nodename,
        boot_id=_own_boot_id(),
        pid=pid,
        process_start=_start_of(pid),
        pid_namespace=_own_namespace(),
    )


def lives(process: Process) -> bool | None:
    """Whether `process` still runs; None when that cannot be seen from here."""
    if process.boot_id is None or process.boot_id != _own_boot_id():
        rebooted = process.boot_id is not None and process.host == os.uname().nodename
        return False if rebooted else None
    if process.pid_namespace is None or process.pid_namespace != _own_namespace():
        return None
    start = _start_of(process.pid)
    return start is not None and process.process_start in {None, start}


def server_time(layout: Layout) -> float:
    """Now by the clock of the file system; by our own where nothing can be written."""
    try:
        fd, probe = layout.files.temporary()
    except OSError:
        return time.time()
    with layout.files.discarding(probe):
        now = os.fstat(fd).st_mtime
        os.close(fd)
    return now


def drop(disk: Disk, marker: Path) -> None:
    """Remove `marker` and its reserve; that they cannot be removed is no error."""
    for path in (marker.with_suffix(RESERVE), marker):
        if is_regular(path):
            with suppress(OSError):
                disk.unlink(path)


def _start_of(pid: int) -> int | None:
    """When process `pid` started, in ticks since boot; None when it does not run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])


@cache
def _own_boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def _own_namespace() -> str | None:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None
