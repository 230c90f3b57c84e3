"""Bytes to and from the machine's disks and networks, per second."""

import os
from typing import Final

from instrument.telemetry.probes import File, ProbeUnavailable, Rate, without_none

_MAX_BYTES: Final = 65_536
_SECTOR_BYTES: Final = 512  # whatever the disk's own sectors are (Documentation/block/stat)
_SECTORS_READ, _SECTORS_WRITTEN = 5, 9  # columns of /proc/diskstats
_RECEIVED, _SENT = 0, 8  # columns of /proc/net/dev after the name


class DiskProbe:
    """All disks together; partitions and layers above a disk are not counted again."""

    def __init__(self) -> None:
        try:
            blocks = os.listdir("/sys/block")  # noqa: PTH208 - names are wanted
        except OSError:
            raise ProbeUnavailable("/sys/block is not there") from None
        self._disks = frozenset(
            os.fsencode(name)
            for name in blocks
            if not name.startswith(("loop", "ram", "dm-", "md", "zram"))
        )
        if not self._disks:
            raise ProbeUnavailable("there is no disk")
        self._file = File("/proc/diskstats", _MAX_BYTES)
        self._read, self._written = Rate(), Rate()

    def read(self, seconds: float) -> dict[str, float]:
        """See `instrument.telemetry.probes.Probe`."""
        read = written = 0
        for line in self._file.read_whole().splitlines():
            fields = line.split(None, _SECTORS_WRITTEN + 1)
            if fields[2] in self._disks:
                read += int(fields[_SECTORS_READ])
                written += int(fields[_SECTORS_WRITTEN])
        return without_none(
            {
                "disk.read_bytes_per_second": self._read.per_second(read * _SECTOR_BYTES, seconds),
                "disk.written_bytes_per_second": self._written.per_second(
                    written * _SECTOR_BYTES, seconds
                ),
            }
        )

    def close(self) -> None:
        """See `instrument.telemetry.probes.Probe`."""
        self._file.close()


class OwnDiskProbe:
    """What this process itself had the disks do (proc_pid_io(5)); the page cache is no disk."""

    def __init__(self) -> None:
        self._file = File("/proc/self/io")
        self._rates = {b"\nread_bytes: ": Rate(), b"\nwrite_bytes: ": Rate()}

    def read(self, seconds: float) -> dict[str, float]:
        """See `instrument.telemetry.probes.Probe`."""
        text = self._file.read()
        read, written = (
            rate.per_second(_count_at(text, name), seconds) for name, rate in self._rates.items()
        )
        return without_none(
            {
                "process.disk_read_bytes_per_second": read,
                "process.disk_written_bytes_per_second": written,
            }
        )

    def close(self) -> None:
        """See `instrument.telemetry.probes.Probe`."""
        self._file.close()


class NetworkProbe:
    """All interfaces but the loopback together; no system counts them for each process."""

    def __init__(self) -> None:
        self._file = File("/proc/self/net/dev", _MAX_BYTES)
        self._received, self._sent = Rate(), Rate()

    def read(self, seconds: float) -> dict[str, float]:
        """See `instrument.telemetry.probes.Probe`."""
        received = sent = 0
        for line in self._file.read_whole().splitlines()[2:]:
            name, _, counters = line.partition(b":")
            if name.strip() != b"lo":
                fields = counters.split(None, _SENT + 1)
                received += int(fields[_RECEIVED])
                sent += int(fields[_SENT])
        return without_none(
            {
                "network.received_bytes_per_second": self._received.per_second(received, seconds),
                "network.sent_bytes_per_second": self._sent.per_second(sent, seconds),
            }
        )

    def close(self) -> None:
        """See `instrument.telemetry.probes.Probe`."""
        self._file.close()


def _count_at(text: bytes, name: bytes) -> int:
    """The number that stands behind `name`, to the end of its line."""
    start = text.index(name) + len(name)
    return int(text[start : text.index(b"\n", start)])
