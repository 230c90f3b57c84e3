"""What a mirror promises: it repeats what the store has."""

from datetime import datetime
from pathlib import Path
from typing import Protocol

from instrument.protocols.store import Objects, Versions
from instrument.records import Record
from instrument.summary import RunSummary


class MirrorRecords(Protocol):
    """The records of one run, on their way to a mirror."""

    def take(self, record: Record, at: datetime) -> None:
        """Take one record."""

    def flush(self) -> None:
        """Send what was taken so far. Idempotent."""

    def close(self) -> None:
        """Flush, and take no more. Idempotent; records taken afterwards count as lost."""

    @property
    def lost(self) -> int:
        """How many records could not be taken."""

    @property
    def offline_directory(self) -> Path | None:
        """Where the run is written to be sent later; None when it is sent right away."""


class Mirror(Protocol):
    """A backend that repeats what the store has."""

    @property
    def offline(self) -> bool:
        """Whether it will only write what it takes, to be sent later. May raise anything."""

    def begin(self, run: RunSummary, objects: Objects, versions: Versions) -> MirrorRecords:
        """Start to repeat `run`.

        The records handed to the result come from the journals in order, each with the time it was
        first taken. May raise anything: mirrors run in a process of their own.
        """
