"""Readings of the hardware, and the phases of a run that they fall into."""

from typing import Any

from instrument.records.base import Record


class TelemetrySampled(Record, frozen=True, kw_only=True, tag="telemetry_sampled"):
    """One sample of the hardware.

    Attributes:
        values: Readings by name, units in the names (``process.memory_bytes``); null for one that
            is no longer known.
        elapsed_seconds: Time since the sampler started.
        whole: Whether `values` has every reading; else those that have changed since the record
            before it in this journal. After records were lost, the others are unknown until the
            next whole one.
    """

    values: dict[str, float | None]
    elapsed_seconds: float
    whole: bool = True


class TelemetrySummarised(Record, frozen=True, kw_only=True, tag="telemetry_summarised"):
    """What the hardware did over the whole run, as one process saw it.

    Attributes:
        values: For each reading its ``mean`` over time, ``min``, ``max``, ``p95`` and ``last``;
            what the system counts for the whole process has ``max`` and ``last`` alone.
        samples: How many samples that rests on.
        interval_seconds: Time between samples at the end.
        columns: Digests of the objects that hold the samples as compressed columns, in order; none
            for few samples. Each is gzip over
            ``{"elapsed_seconds":[…],"readings":{"<name>":[…]}}``.
        energy: Joules and where they come from (``gpu_joules``, ``gpu_source``, ``cpu_joules``,
            ``cpu_source``), ``gco2e`` grams where the user gave ``grid_gco2e_per_kwh``; what is not
            known is absent.
        notes: What was left out to keep within the budget, one line each.
    """

    values: dict[str, dict[str, float]]
    samples: int
    interval_seconds: float
    columns: tuple[str, ...] = ()
    energy: dict[str, Any] = {}  # noqa: RUF012 - msgspec copies it
    notes: tuple[str, ...] = ()


class PhaseStarted(Record, frozen=True, kw_only=True, tag="phase_started"):
    """A pass through a phase of the run begins.

    Attributes:
        phase: Names of the phase and of those it is nested in, joined by ``/``.
    """

    phase: str


class PhaseFinished(Record, frozen=True, kw_only=True, tag="phase_finished"):
    """A pass through a phase has ended. Samples between the two records belong to it.

    Attributes:
        phase: As in `PhaseStarted`.
        duration_seconds: By a monotonic clock.
        cpu_seconds: CPU time of this process meanwhile, all its threads together.
        error: Type of the exception that ended it, or None.
        gpu_memory_peak_bytes: The most that torch's allocator held, by device, where it reached a
            new peak of the process in this pass.
    """

    phase: str
    duration_seconds: float
    cpu_seconds: float
    error: str | None = None
    gpu_memory_peak_bytes: dict[str, int] = {}  # noqa: RUF012 - msgspec copies it
