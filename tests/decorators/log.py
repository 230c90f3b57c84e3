"""A look at what the calls of one test left on the record."""

from pathlib import Path
from typing import Any

from instrument import registry
from instrument.clock import SystemClock
from instrument.protocols import Store
from instrument.records import Record


class Log:
    """The records of the test's runs, read back from the store."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def store(self) -> Store:
        """The store."""
        return registry.open_store("local", self._path, SystemClock())

    def runs(self) -> list[Any]:
        """Summaries, oldest first."""
        return self.store.runs()[::-1] if self._path.exists() else []

    def run(self) -> Any:
        """The only run."""
        (run,) = self.runs()
        return run

    def of(self, kind: type[Record], run_id: str | None = None) -> list[Any]:
        """All records of one kind, in the order in which they were taken."""
        ids = [run_id] if run_id else [run.id for run in self.runs()]
        entries = [entry for one in ids for entry in self.store.entries(one)]
        entries.sort(key=lambda entry: entry.at)
        return [entry.record for entry in entries if isinstance(entry.record, kind)]
