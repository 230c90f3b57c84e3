"""Statistics of readings, and of the phases they fall into, in bounded memory."""

from array import array
from collections.abc import Mapping
from typing import Any, Final

MOST_ROWS: Final = 2048
MOST_PHASES: Final = 500
_NAN: Final = float("nan")
_HIGH: Final = 0.95


class Readings:
    """Mean, least, greatest, 95th percentile and last value of each reading.

    A value counts for the seconds that it stands for, so that a mean is one over time however the
    interval between samples grew. Mean, least, greatest and last are exact. The percentile is exact
    up to `most_rows` samples; from then on every second row is dropped whenever there are as many.
    """

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        self._most_rows = most_rows
        self._statistics: dict[str, list[float]] = {}
        self._seconds = array("d")
        self._columns: dict[str, array[float]] = {}
        self._stride = 1
        self._added = 0
        self._waiting = 0.0

    def add(self, values: Mapping[str, float], seconds: float) -> None:
        """Take one sample, which stands for the `seconds` before it."""
        for name, value in values.items():
            known = self._statistics.get(name)
            if known is None:
                self._statistics[name] = [seconds, value * seconds, value, value, value]
                continue
            known[0] += seconds
            known[1] += value * seconds
            known[2] = min(known[2], value)
            known[3] = max(known[3], value)
            known[4] = value
        self._added += 1
        self._waiting += seconds
        if self._added % self._stride == 0:
            self._add_row(values)

    def summary(self) -> dict[str, dict[str, float]]:
        """``mean``, ``min``, ``max``, ``p95`` and ``last`` by name."""
        return {
            name: {
                "mean": min(greatest, max(least, weighted / seconds)) if seconds else last,
                "min": least,
                "max": greatest,
                "p95": self._percentile(name, last),
                "last": last,
            }
            for name, (seconds, weighted, least, greatest, last) in sorted(self._statistics.items())
        }

    def _add_row(self, values: Mapping[str, float]) -> None:
        rows = len(self._seconds)
        self._seconds.append(self._waiting)
        self._waiting = 0.0
        for name, value in values.items():
            column = self._columns.get(name)
            if column is None:
                column = self._columns[name] = array("d", [_NAN]) * rows
            column.append(value)
        if len(self._columns) != len(values):
            for column in self._columns.values():
                if len(column) == rows:
                    column.append(_NAN)
        if rows + 1 == self._most_rows:
            self._thin()

    def _thin(self) -> None:
        pairs = zip(self._seconds[::2], self._seconds[1::2], strict=True)
        self._seconds = array("d", [first + second for first, second in pairs])
        self._columns = {name: column[1::2] for name, column in self._columns.items()}
        self._stride *= 2

    def _percentile(self, name: str, otherwise: float) -> float:
        known = [
            (value, seconds)
            for value, seconds in zip(self._columns.get(name, ()), self._seconds, strict=False)
            if value == value  # noqa: PLR0124 - NaN is not
        ]
        remaining = _HIGH * sum(seconds for _, seconds in known)
        for value, seconds in sorted(known):
            remaining -= seconds
            if remaining <= 1e-9:  # noqa: PLR2004 - what rounding leaves
                return value
        return otherwise


class Phases:
    """What one process did in each phase of a run: how often, how long, and the readings there.

    Of more than `MOST_PHASES` phases the first ones are told, and how many more there are.
    """

    def __init__(self) -> None:
        self._phases: dict[str, _Phase] = {}
        self._left_out: set[str] = set()

    @property
    def left_out(self) -> int:
        """How many phases were too many."""
        return len(self._left_out)

    def started(self, path: str) -> None:
        """A pass through the phase begins; a phase may be open several times."""
        if path not in self._phases and len(self._phases) >= MOST_PHASES:
            self._left_out.add(path)
            return
        self._phases.setdefault(path, _Phase()).open += 1

    def finished(
        self, path: str, duration_seconds: float, cpu_seconds: float, peaks: Mapping[str, int]
    ) -> None:
        """A pass through the phase has ended; `peaks` are bytes by GPU."""
        phase = self._phases.get(path)
        if phase is None:
            return
        phase.open = max(0, phase.open - 1)
        phase.count += 1
        phase.duration_seconds += duration_seconds
        phase.cpu_seconds += cpu_seconds
        for gpu, peak in peaks.items():
            phase.peaks[gpu] = max(peak, phase.peaks.get(gpu, 0))

    def add(self, values: Mapping[str, float], seconds: float) -> None:
        """Take one sample: it belongs to the phases that are open."""
        for phase in self._phases.values():
            if phase.open:
                phase.readings.add(values, seconds)

    def summary(self) -> dict[str, dict[str, Any]]:
        """By path, in the order of their beginnings.

        ``count`` passes that ended and their ``duration_seconds`` and ``cpu_seconds`` together,
        ``open`` passes that did not end, ``gpu_memory_peak_bytes`` by GPU where torch's allocator
        reached a new peak, and the ``readings`` as `Readings.summary` tells them.
        """
        return {
            path: {
                "count": phase.count,
                "open": phase.open,
                "duration_seconds": phase.duration_seconds,
                "cpu_seconds": phase.cpu_seconds,
                "gpu_memory_peak_bytes": phase.peaks,
                "readings": phase.readings.summary(),
            }
            for path, phase in self._phases.items()
        }


class _Phase:
    """One phase of one process."""

    def __init__(self) -> None:
        self.open = 0
        self.count = 0
        self.duration_seconds = 0.0
        self.cpu_seconds = 0.0
        self.peaks: dict[str, int] = {}
        self.readings = Readings(most_rows=512)


class Trace:
    """The readings of one process, told sample by sample as what has changed."""

    def __init__(self) -> None:
        self._values: dict[str, float] = {}
        self._elapsed_seconds = 0.0

    def take(
        self, values: Mapping[str, float | None], elapsed_seconds: float, *, whole: bool
    ) -> tuple[dict[str, float], float]:
        """All readings at this sample, and the seconds that it stands for."""
        known = {} if whole else dict(self._values)
        for name, value in values.items():
            if value is None:
                known.pop(name, None)
            else:
                known[name] = value
        seconds = max(0.0, elapsed_seconds - self._elapsed_seconds)
        self._values, self._elapsed_seconds = known, elapsed_seconds
        return known, seconds

    def forget(self) -> None:
        """Something between is lost: what is not told again is unknown."""
        self._values = {}
