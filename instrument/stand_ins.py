"""What stands in for a journal where there is none: no store, not yet opened, or closed."""

from collections.abc import Callable
from datetime import datetime

from instrument.guard import say
from instrument.protocols import Records
from instrument.records import Record


class Nowhere:
    """There is no store: everything is lost, and counted."""

    lost = 0

    def take(self, record: Record, at: datetime) -> None:  # noqa: ARG002 - the protocol's signature
        """Count the record as lost."""
        self.lost += 1

    def flush(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class OpenedOnUse(Nowhere):
    """A forked child that has not recorded anything yet: most never do.

    Args:
        open_journal: Opens the child's own journal and puts it in this one's place.
    """

    def __init__(self, open_journal: Callable[[], Records]) -> None:
        self._open_journal = open_journal

    def take(self, record: Record, at: datetime) -> None:
        """Open the journal, then take."""
        self._open_journal().take(record, at)


class Ended(Nowhere):
    """The run has ended; whoever still logs is told once.

    Args:
        run_id: The run.
    """

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id

    def take(self, record: Record, at: datetime) -> None:
        """Tell, and count the record as lost."""
        if not self.lost:
            say(f"run {self._run_id} has ended: a {type(record).__name__} was not recorded")
        super().take(record, at)
