"""The one thread that samples: often at first, seldom in a long run, and nothing in a short one."""

import os
import threading
import time
from typing import Final

from instrument.protocols import Clock, Recorder
from instrument.readings import Readings
from instrument.records import TelemetrySampled, TelemetrySummarised
from instrument.telemetry.probes import Probe, ProbeUnavailable
from instrument.telemetry.roster import makers
from instrument.telemetry.usage import Usage

EASE_AFTER_SECONDS: Final = 300.0
MAX_EASING: Final = 10.0
JOIN_SECONDS: Final = 2.0


class Sampler:
    """Samples the hardware until it is stopped.

    The first sample is taken after one interval. From `EASE_AFTER_SECONDS` on the interval grows
    with the time that has passed, up to `MAX_EASING` times.

    Args:
        recorder: Takes the samples and the summary.
        clock: Says when.
        interval_seconds: Time between samples at first.
    """

    def __init__(self, recorder: Recorder, clock: Clock, interval_seconds: float = 1.0) -> None:
        self._recorder = recorder
        self._clock = clock
        self._first_interval = self._interval = interval_seconds
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._probes: dict[str, Probe] = {}
        self._readings = Readings()
        self._samples = 0
        self._failure: BaseException | None = None
        self._pid = os.getpid()
        self._usage = Usage()
        self.cpu_seconds = 0.0
        """CPU time of the sampling so far."""

    def start(self) -> None:
        """Begin. A sampler starts once."""
        self._thread = threading.Thread(target=self._run, name="instrument-telemetry", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop, and record the summary. Idempotent; does nothing in a forked child.

        Raises:
            BaseException: What a strict recorder raised while sampling.
        """
        thread, self._thread = self._thread, None
        if thread is None or self._pid != os.getpid():
            return
        self._stopping.set()
        thread.join(JOIN_SECONDS)
        values = self._readings.summary() | self._usage.summary()
        self._recorder.record(
            TelemetrySummarised(
                values=values, samples=self._samples, interval_seconds=self._interval
            )
        )
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        """The thread: waits for the next tick of a grid that starts at the start, and samples."""
        began = self._clock.monotonic_seconds()
        due = now = 0.0
        try:
            while True:
                self._interval = interval_at(now, self._first_interval)
                due = next_due(due, now, self._interval)
                if self._stopping.wait(due - now):
                    break
                self._sample(self._clock.monotonic_seconds() - began)
                self.cpu_seconds = time.thread_time()
                now = self._clock.monotonic_seconds() - began
        except BaseException as failure:
            self._failure = failure
        finally:
            for probe in self._probes.values():
                probe.close()

    def _sample(self, elapsed_seconds: float) -> None:
        if self._samples == 0:
            self._make_probes()
        values: dict[str, float] = {}
        for name, probe in list(self._probes.items()):
            try:
                values |= probe.read(elapsed_seconds)
            except Exception as error:
                del self._probes[name]
                probe.close()
                self._recorder.problem(f"read the {name} probe", error)
        self._samples += 1
        self._readings.add(values)
        self._recorder.record(
            TelemetrySampled(values=values, elapsed_seconds=round(elapsed_seconds, 6))
        )

    def _make_probes(self) -> None:
        for name, make in makers().items():
            try:
                self._probes[name] = make()
            except ProbeUnavailable:
                continue
            except Exception as error:
                self._recorder.problem(f"start the {name} probe", error)


def interval_at(elapsed_seconds: float, first_interval: float) -> float:
    """Time to the next sample, for a run that has gone on for `elapsed_seconds`."""
    easing = min(MAX_EASING, max(1.0, elapsed_seconds / EASE_AFTER_SECONDS))
    return first_interval * easing


def next_due(due: float, now: float, interval: float) -> float:
    """When to sample next: a whole number of intervals after `due`, later than `now`.

    The time that a sample took does not add up, and ticks that were missed (a suspended machine)
    are not made up for.
    """
    missed = max(0.0, (now - due) // interval)
    return due + (missed + 1) * interval
