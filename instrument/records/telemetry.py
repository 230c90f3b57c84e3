"""Readings of the hardware."""

from instrument.records.base import Record


class TelemetrySampled(Record, frozen=True, kw_only=True, tag="telemetry_sampled"):
    """One sample of the hardware.

    Attributes:
        values: Readings by name, units in the names (``process.memory_bytes``).
        elapsed_seconds: Time since the sampler started.
    """

    values: dict[str, float]
    elapsed_seconds: float


class TelemetrySummarised(Record, frozen=True, kw_only=True, tag="telemetry_summarised"):
    """What the hardware did over the whole run.

    Attributes:
        values: For each reading its ``mean``, ``min``, ``max`` and ``last``.
        samples: How many samples that rests on.
        interval_seconds: Time between samples at the end.
    """

    values: dict[str, dict[str, float]]
    samples: int
    interval_seconds: float
