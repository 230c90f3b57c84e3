"""Where records of intercepted calls go: what all interceptors share, and nothing else."""

from collections.abc import Callable
from typing import NamedTuple

from instrument.protocols import Objects, Recorder


class Destination(NamedTuple):
    """Where the records of a call go.

    Attributes:
        recorder: Takes them for the run that the calling code belongs to.
        objects: Knows the digests of files.
    """

    recorder: Recorder
    objects: Objects


def nowhere() -> Destination | None:
    """There is no run."""
    return None


find: Callable[[], Destination | None] = nowhere
"""Tells the destination of the calling code's records; None outside a run."""
