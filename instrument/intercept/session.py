"""Where records of intercepted calls go: what all interceptors share, and nothing else."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, NamedTuple

from instrument.overhead import Overhead, Sample, Span
from instrument.own_reads import is_own_read
from instrument.protocols import Objects, Recorder, Versions


class Destination(NamedTuple):
    """Where the records of a call go.

    Attributes:
        recorder: Takes them for the run that the calling code belongs to.
        objects: Knows the digests of files.
        data_limit_bytes: Data of more bytes in one read is not hashed; None: all is.
        versions: Knows the artifacts; what is loaded may be one of them.
        run_id: The run, whose own artifacts are no inputs.
        owner: Whether the run is this process's own.
    """

    recorder: Recorder
    objects: Objects
    data_limit_bytes: int | None = None
    versions: Versions | None = None
    run_id: str | None = None
    owner: bool = True


def nowhere() -> Destination | None:
    """There is no run."""
    return None


of_runs: Callable[[], Destination | None] = nowhere
"""Tells the run that the calling code belongs to."""
own: Final[ContextVar[Destination | None]] = ContextVar("instrument_destination", default=None)
"""The destination of this thread or task, in place of its run's (`directed.py`)."""


def overhead_of(recorder: Recorder) -> Overhead | None:
    """What takes account of what the run of `recorder` costs, if anything does."""
    return getattr(recorder, "overhead", None)


def cost(recorder: Recorder | None = None) -> Span:
    """A block that is a part of what interception costs the run of `recorder`."""
    return Span("interception", overhead_of(recorder) if recorder is not None else None)


def sample(recorder: Recorder, weight: int) -> Span:
    """The same of a block that stands for `weight` of them; see `Overhead.models_weights`."""
    overhead = overhead_of(recorder)
    return Sample("interception", weight, overhead) if overhead is not None else cost()


def find() -> Destination | None:
    """The destination of the calling code's records; None where they have none."""
    return None if is_own_read() else own.get() or of_runs()
