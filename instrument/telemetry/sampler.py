"""The one thread that samples while a run goes on."""

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from instrument import threads
from instrument.overhead import Overhead
from instrument.protocols import Clock, Recorder
from instrument.readings import Readings
from instrument.records import TelemetrySampled, TelemetrySummarised
from instrument.telemetry.columns import Keeper
from instrument.telemetry.roster import make_probes
from instrument.telemetry.schedule import Budget, interval_at, next_due
from instrument.telemetry.usage import Usage

if TYPE_CHECKING:
    from instrument.telemetry.probes import Probe

JOIN_SECONDS: Final = 2.0
WHOLE_EVERY: Final = 60
"""Samples from one that tells all readings to the next; the others tell what has changed."""
KEPT_TOGETHER: Final = 16
"""A thread that wakes once a second finds its code in no cache: what can wait is done at once."""
DEFAULT_BUDGET_PERCENT: Final = 1.0


class Sampler:
    """Samples the hardware until it is stopped.

    The first sample is taken after one interval. In long runs and beyond the budget the interval
    grows: see `instrument.telemetry.schedule`.

    Args:
        recorder: Takes the samples and the summary.
        clock: Says when.
        interval_seconds: Time between samples at first.
        whole_node: Whether to watch the host and its GPUs, or this process alone.
        budget_percent: The most that recording may cost, in percent of the time that passes.
        overhead: Counts what it costs; by default the sampling alone.
        grid_gco2e_per_kwh: Carbon intensity of the electricity, in grams; None for unknown.
        put: Stores bytes and gives their digest; without one no columns are kept.
        began: What `instrument.overhead.cpu_used` said when the run began.
    """

    def __init__(  # noqa: PLR0913 - what a run sets
        self,
        recorder: Recorder,
        clock: Clock,
        interval_seconds: float = 1.0,
        *,
        whole_node: bool = True,
        budget_percent: float = DEFAULT_BUDGET_PERCENT,
        overhead: Overhead | None = None,
        grid_gco2e_per_kwh: float | None = None,
        put: Callable[[bytes], str] | None = None,
        began: tuple[float, float] | None = None,
    ) -> None:
        self._recorder = recorder
        self._clock = clock
        self._first_interval = self._interval = interval_seconds
        self._whole_node = whole_node
        self._grid = grid_gco2e_per_kwh
        self._keeper = Keeper(put) if put is not None else None
        self._stopping = threading.Lock()  # held until then; waits for less than an event does
        self._stopping.acquire()
        self._thread: threading.Thread | None = None
        self._probes: dict[str, Probe] = {}
        self._readings = Readings()
        self._told: dict[str, float] = {}
        self._samples = 0
        self._unkept: list[tuple[dict[str, float], float]] = []
        self._elapsed_seconds = 0.0
        self._budget = Budget(budget_percent)
        self._overhead = overhead or Overhead()
        self._notes: list[str] = []
        self._failure: BaseException | None = None
        self._pid = os.getpid()
        self._usage = Usage(began)
        self.cpu_seconds = 0.0
        """CPU time of the sampling so far."""

    def start(self) -> None:
        """Begin. A sampler starts once."""
        self._thread = threading.Thread(target=self._run, name="instrument-telemetry", daemon=True)
        threads.start(self._thread)

    def stop(self, limit_seconds: float = JOIN_SECONDS) -> None:
        """Stop, and record the summary. Idempotent; does nothing in a forked child.

        Args:
            limit_seconds: How long to wait for a probe that is reading, at most `JOIN_SECONDS`.

        Raises:
            BaseException: What a strict recorder raised while sampling.
        """
        thread, self._thread = self._thread, None
        if thread is None or self._pid != os.getpid():
            return
        self._stopping.release()
        limit_seconds = min(limit_seconds, JOIN_SECONDS)
        thread.join(limit_seconds)
        if thread.is_alive():
            late = TimeoutError(f"a probe has not answered for {limit_seconds:.2g} seconds")
            self._recorder.problem("stop telemetry", late)
        self.tell()
        if self._failure is not None:
            raise self._failure

    def tell(self) -> None:
        """Record the summary; of a sampler that never started, what the system has counted."""
        self._recorder.record(self._summary())

    def _summary(self) -> TelemetrySummarised:
        from instrument.telemetry.energy import energy

        self._keep()
        values = self._readings.summary()
        return TelemetrySummarised(
            values=values | self._usage.summary(),
            samples=self._samples,
            interval_seconds=self._interval,
            columns=self._columns(),
            energy=energy(values, self._elapsed_seconds, self._grid),
            notes=(*self._notes, *self._budget.notes),
        )

    def _columns(self) -> tuple[str, ...]:
        try:
            return self._keeper.finish() if self._keeper is not None else ()
        except Exception as error:
            self._recorder.problem("keep the telemetry's columns", error)
            return ()

    def _run(self) -> None:
        """The thread: waits for the next tick of a grid that starts at the start, and samples."""
        began = self._clock.monotonic_seconds()
        due = now = 0.0
        try:
            while True:
                self._interval = interval_at(now, self._first_interval) * self._budget.widening
                due = next_due(due, now, self._interval)
                if self._stopping.acquire(timeout=max(0.0, due - now)):
                    break
                with self._overhead.span("telemetry"):
                    self._sample(self._clock.monotonic_seconds() - began)
                self.cpu_seconds = time.thread_time()
                now = self._clock.monotonic_seconds() - began
                self._budget.spent(self.cpu_seconds, now, self._overhead.seconds())
        except BaseException as failure:
            self._failure = failure
        finally:
            for probe in self._probes.values():
                probe.close()

    def _sample(self, elapsed_seconds: float) -> None:
        if self._samples == 0:
            self._probes = make_probes(
                whole_node=self._whole_node,
                problem=self._recorder.problem,
                note=self._notes.append,
            )
        values: dict[str, float] = {}
        for name, probe in list(self._probes.items()):
            try:
                values |= probe.read(elapsed_seconds)
            except Exception as error:
                del self._probes[name]
                probe.close()
                self._recorder.problem(f"read the {name} probe", error)
        self._tell(values, elapsed_seconds)
        self._samples += 1
        self._unkept.append((values, elapsed_seconds))
        if len(self._unkept) == KEPT_TOGETHER:
            self._keep()

    def _keep(self) -> None:
        """Take the samples since the last time into the statistics and the columns."""
        unkept, self._unkept = self._unkept, []
        for values, elapsed_seconds in unkept:
            self._readings.add(values, elapsed_seconds - self._elapsed_seconds)
            self._elapsed_seconds = elapsed_seconds
        if self._keeper is not None:
            try:
                for values, elapsed_seconds in unkept:
                    self._keeper.add(values, round(elapsed_seconds, 3))
            except Exception as error:
                self._keeper = None  # the journal has them all
                self._recorder.problem("keep the telemetry's columns", error)

    def _tell(self, values: dict[str, float], elapsed_seconds: float) -> None:
        """Record all readings, or what has changed in them."""
        whole = self._samples % WHOLE_EVERY == 0
        told, self._told = self._told, values
        changed: dict[str, float | None] = {
            name: value for name, value in values.items() if whole or told.get(name) != value
        }
        if not whole:
            changed |= dict.fromkeys(told.keys() - values.keys())
        elapsed = round(elapsed_seconds, 3)
        self._recorder.record(
            TelemetrySampled(values=changed, elapsed_seconds=elapsed, whole=whole)
        )
