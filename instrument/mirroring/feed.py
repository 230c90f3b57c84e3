"""The one path from a store to a mirror, for live runs and for later."""

from collections.abc import Iterable
from typing import Final

import msgspec

from instrument.guard import one_line
from instrument.mirroring.tail import Tail, follow_run
from instrument.protocols import Mirror, MirrorRecords, Store
from instrument.records import ArtifactLogged, Entry, RunStarted

MAX_PROBLEMS: Final = 20


class MirrorReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a mirror has of a run.

    Attributes:
        run_id: The run.
        mirror: Name of the mirror.
        records: How many records the mirror took (in a dry run: would get).
        artifacts: How many artifact versions are among them.
        complete: True when the mirror has all of it and has closed without an error.
        offline_directory: Where the mirror wrote it to be sent later; None when it was sent.
        problems: What it does not have and why, one line each.
        skipped: Why nothing was sent, or None when it was.
    """

    run_id: str
    mirror: str
    records: int
    artifacts: int
    complete: bool
    offline_directory: str | None = None
    problems: tuple[str, ...] = ()
    skipped: str | None = None


def feed(  # noqa: PLR0913 - what, whither, and how; all but three are keywords
    store: Store,
    mirror: Mirror,
    run_id: str,
    *,
    name: str = "mirror",
    follow: bool,
    poll_seconds: float = 0.5,
) -> MirrorReport:
    """Send a run to a mirror. Never raises for what the mirror does: the report tells it.

    Args:
        store: The store that has the run.
        mirror: Takes it.
        run_id: The run.
        name: Name of the mirror, for the report.
        follow: Go on until the run has ended or its owner is dead; else send what is there.
        poll_seconds: Pause between two looks at the journals, at least.

    Raises:
        NotFoundError: There is no such run.
        StoreError: The store cannot be read.
    """
    delivery = _Delivery(store, mirror, run_id)
    for entry in _entries(store, run_id, poll_seconds if follow else None):
        delivery.take(entry)
        if delivery.refused:
            break
    delivery.close()
    return MirrorReport(
        run_id=run_id,
        mirror=name,
        records=delivery.records,
        artifacts=len(delivery.artifacts),
        complete=delivery.failures == 0,
        offline_directory=delivery.offline_directory,
        problems=tuple(delivery.problems),
    )


def _entries(store: Store, run_id: str, poll_seconds: float | None) -> Iterable[Entry]:
    if poll_seconds is None:
        return Tail(store, run_id).fresh()
    return follow_run(store, run_id, poll_seconds)


class _Delivery:
    """Hands entries to the mirror and counts what became of them."""

    def __init__(self, store: Store, mirror: Mirror, run_id: str) -> None:
        self.records = 0
        self.artifacts: set[str] = set()
        self.problems: list[str] = []
        self.failures = 0
        self.refused = False
        self._store = store
        self._mirror = mirror
        self._run_id = run_id
        self._waiting: list[Entry] = []
        self._open: MirrorRecords | None = None

    @property
    def offline_directory(self) -> str | None:
        """Where the mirror writes what it does not send."""
        directory = self._open.offline_directory if self._open is not None else None
        return None if directory is None else str(directory)

    def take(self, entry: Entry) -> None:
        """Hand over `entry`; those before the run has a name wait for it."""
        self._waiting.append(entry)
        if self._open is None and isinstance(entry.record, RunStarted):
            self._begin()
        if self._open is not None:
            self._drain(self._open)

    def close(self) -> None:
        """Let the mirror finish."""
        if self._open is None and not self.refused:
            self._begin()
        if self._open is None:
            return
        self._drain(self._open)
        if self.failures > MAX_PROBLEMS:
            self.problems.append(f"{self.failures - MAX_PROBLEMS} more records were refused")
        try:
            self._open.close()
        except Exception as error:
            self.failures += 1
            self._tell("finish", error)
        if self._open.lost:
            self.failures += self._open.lost
            self.problems.append(f"the mirror lost {self._open.lost} records")

    def _begin(self) -> None:
        run = self._store.run(self._run_id)
        try:
            self._open = self._mirror.begin(run, self._store, self._store)
        except Exception as error:
            self.refused = True
            self.failures += 1
            self._tell("begin", error)

    def _drain(self, records: MirrorRecords) -> None:
        waiting, self._waiting = self._waiting, []
        for entry in waiting:
            try:
                records.take(entry.record, entry.at)
            except Exception as error:
                self.failures += 1
                if self.failures <= MAX_PROBLEMS:
                    self._tell(f"take {_title(entry)}", error)
                continue
            self.records += 1
            if isinstance(entry.record, ArtifactLogged):
                self.artifacts.add(entry.record.ref)

    def _tell(self, doing: str, error: Exception) -> None:
        name = type(error).__name__
        self.problems.append(f"the mirror could not {doing}: {name}: {one_line(error)}")


def _title(entry: Entry) -> str:
    record = entry.record
    if isinstance(record, ArtifactLogged):
        return f"artifact {record.ref}"
    return f"{type(record).__name__} {entry.writer}:{entry.seq}"
