"""A mirror that keeps what it is given, in lists that tests look at."""

from datetime import datetime
from pathlib import Path

from instrument.protocols import Objects, Versions
from instrument.records import Metrics, Record
from instrument.summary import RunSummary


class ListMirror:
    """Mirror and records in one; a subclass misbehaves."""

    def __init__(self) -> None:
        self.run: RunSummary | None = None
        self.taken: list[tuple[Record, datetime]] = []
        self.closed = 0
        self.lost = 0
        self.offline_directory: Path | None = None

    @property
    def offline(self) -> bool:
        return self.offline_directory is not None

    def begin(self, run: RunSummary, objects: Objects, versions: Versions) -> "ListMirror":
        self.run = run
        begun.append(self)
        return self

    def take(self, record: Record, at: datetime) -> None:
        self.taken.append((record, at))

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed += 1

    def losses(self) -> list[float | str]:
        records = [record for record, _ in self.taken]
        return [record.values["loss"] for record in records if isinstance(record, Metrics)]


begun: list[ListMirror] = []
writes_to: Path | None = None


def open_mirror(*, offline: bool, directory: Path | None) -> ListMirror:
    """The factory, as the registry calls it; offline or not, it writes where `writes_to` says."""
    mirror = ListMirror()
    mirror.offline_directory = writes_to
    return mirror
