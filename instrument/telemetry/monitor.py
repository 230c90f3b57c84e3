"""The hardware, for people who watch it without a run."""

import threading
from collections import deque
from typing import Any, Self

import msgspec

from instrument.clock import SystemClock
from instrument.readings import Trace
from instrument.records import Record, TelemetrySampled, TelemetrySummarised
from instrument.telemetry.sampler import Sampler


class HardwareMonitor:
    """Samples CPU, memory, disk, network and GPUs in the background.

        with HardwareMonitor() as monitor:
            train()
        print(monitor.summary()["values"]["process.memory_bytes"]["max"])

    Args:
        interval_seconds: Time between samples; it grows in long runs.
        max_samples: How many of the newest samples are kept.
    """

    def __init__(self, interval_seconds: float = 1.0, max_samples: int = 3600) -> None:
        self._kept = _Kept(max_samples)
        self._sampler = Sampler(self._kept, SystemClock(), interval_seconds)

    def start(self) -> None:
        """Begin. A monitor starts once."""
        self._sampler.start()

    def stop(self) -> dict[str, Any]:
        """Stop, and return the summary. Idempotent."""
        self._sampler.stop()
        return self.summary()

    def samples(self) -> list[dict[str, float]]:
        """The newest samples, oldest first, each with its ``elapsed_seconds``."""
        return self._kept.samples()

    def latest(self) -> dict[str, float]:
        """The newest sample; empty before the first one."""
        samples = self.samples()
        return samples[-1] if samples else {}

    def summary(self) -> dict[str, Any]:
        """What was seen, told as in `TelemetrySummarised`, and the ``problems`` there were.

        ``values`` (mean, min, max, p95 and last of each reading), ``samples``, ``energy``,
        ``notes``. Complete once the monitor has stopped; empty before.
        """
        summarised = self._kept.summarised
        return {
            "values": msgspec.to_builtins(summarised.values) if summarised else {},
            "samples": summarised.samples if summarised else 0,
            "energy": dict(summarised.energy) if summarised else {},
            "problems": list(self._kept.problems),
            "notes": list(summarised.notes) if summarised else [],
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Kept:
    """A recorder that keeps what it gets."""

    def __init__(self, max_samples: int) -> None:
        self._samples: deque[dict[str, float]] = deque(maxlen=max_samples)
        self._lock = threading.Lock()
        self._trace = Trace()
        self.summarised: TelemetrySummarised | None = None
        self.problems: list[str] = []

    def record(self, record: Record) -> None:
        with self._lock:
            if isinstance(record, TelemetrySampled):
                elapsed = record.elapsed_seconds
                values, _ = self._trace.take(record.values, elapsed, whole=record.whole)
                self._samples.append({"elapsed_seconds": elapsed, **values})
            elif isinstance(record, TelemetrySummarised):
                self.summarised = record

    def problem(self, doing: str, error: BaseException) -> None:
        self.problems.append(f"could not {doing}: {error}")

    def samples(self) -> list[dict[str, float]]:
        with self._lock:
            return list(self._samples)
