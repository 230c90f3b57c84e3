"""What a probe is, and what probes are made of."""

import os
from typing import Final, Protocol


class ProbeUnavailable(Exception):  # noqa: N818 - it is an answer, not an error
    """There is nothing to read on this machine; not a failure."""


class Probe(Protocol):
    """Reads one kind of hardware. Made in the sampling thread, and used there only."""

    def read(self, seconds: float) -> dict[str, float]:
        """Readings by name, units in the names.

        Args:
            seconds: A monotonic clock; rates are per second of it, from the second reading on.

        Raises:
            Exception: Anything; the probe is then closed and not asked again.
        """

    def close(self) -> None:
        """Give back what it holds. Idempotent."""


class File:
    """A file of /proc that is opened once and read again and again.

    Raises:
        OSError: It is not there.
    """

    def __init__(self, path: str, max_bytes: int = 4096) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._max_bytes = max_bytes

    def read(self) -> bytes:
        """What it says now.

        Raises:
            OSError: What it told about is gone.
        """
        return os.pread(self._descriptor, self._max_bytes, 0)

    def read_whole(self) -> bytes:
        """As `read`, for what is longer than the page that the kernel gives at a time."""
        text = part = self.read()
        while len(part) > _HALF_A_PAGE:  # else the next line would have fitted in as well
            part = os.pread(self._descriptor, self._max_bytes, len(text))
            text += part
        return text

    def close(self) -> None:
        """Close it. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Rate:
    """Turns a counter that only grows into a rate."""

    def __init__(self) -> None:
        self._before: tuple[float, float] | None = None

    def per_second(self, count: float, seconds: float) -> float | None:
        """Growth per second since the last call, to a tenth; None at the first one."""
        before, self._before = self._before, (count, seconds)
        if before is None or seconds <= before[1]:
            return None
        return round(max(0.0, (count - before[0]) / (seconds - before[1])), 1)


def without_none(values: dict[str, float | None]) -> dict[str, float]:
    """The readings that there are."""
    return {name: value for name, value in values.items() if value is not None}


_HALF_A_PAGE: Final = 2048
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
