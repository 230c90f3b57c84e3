"""What stands in for a journal where there is none: no store, not yet opened, or closed."""

from collections.abc import Callable
from datetime import datetime

from instrument.guard import say
from instrument.protocols import Records
from instrument.records import ArtifactLogged, Metrics, Params, ProcessFinished, Record


class Nowhere:
    """No store could be opened: everything is lost, and counted."""

    lost = 0
    reason = "it could not be opened"
    spool: str | None = None

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
        self._opened: Records | None = None

    def take(self, record: Record, at: datetime) -> None:
        """Open the journal, then take."""
        self.open().take(record, at)

    def open(self) -> Records:
        """The journal, opened when it is not yet."""
        if self._opened is None:
            self._opened = self._open_journal()
        return self._opened


class Ended(Nowhere):
    """The run has ended; whoever still logs is told once, and once of artifacts, which are kept.

    Args:
        run_id: The run.
    """

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._told: set[bool] = set()

    def take(self, record: Record, at: datetime) -> None:
        """Tell, and count the record as lost."""
        is_kept = isinstance(record, ArtifactLogged)
        if is_kept not in self._told:
            self._told.add(is_kept)
            how = "is stored, but is no output of the run" if is_kept else "is not recorded"
            say(f"run {self._run_id} has ended: {_what(record)} and what follows {how}")
        super().take(record, at)


class Lent:
    """The journal of a process that takes part in another's run: closed when that has ended.

    Args:
        records: The journal, or what opens it.
        stands: Tells whether the run is still open; asked before each record.
        end: Closes the journal, and gives what takes its place.
    """

    def __init__(
        self, records: Records, stands: Callable[[], bool], end: Callable[[], Records]
    ) -> None:
        self._records = records
        self._stands = stands
        self._end = end

    def take(self, record: Record, at: datetime) -> None:
        """Take it while the run is open; the end of a journal that was opened, always."""
        if self._stands():
            self._records.take(record, at)
        elif not isinstance(record, ProcessFinished):
            self._end().take(record, at)
        elif not isinstance(self._records, OpenedOnUse):
            self._records.take(record, at)

    def flush(self) -> None:
        """See `instrument.protocols.Records`."""
        self._records.flush()

    def close(self) -> None:
        """See `instrument.protocols.Records`."""
        self._records.close()

    @property
    def lost(self) -> int:
        """See `instrument.protocols.Records`."""
        return self._records.lost

    @property
    def reason(self) -> str:
        """See `instrument.protocols.Records`."""
        return self._records.reason

    @property
    def spool(self) -> str | None:
        """See `instrument.protocols.Records`."""
        return self._records.spool


def _what(record: Record) -> str:
    """What is not recorded, in the user's words."""
    match record:
        case Metrics():
            return f"log_metrics of {', '.join(record.values)[:80]}"
        case Params():
            return f"log_params of {', '.join(record.values)[:80]}"
        case ArtifactLogged():
            return f"log_artifact of {record.ref}"
    return str(type(record).__struct_config__.tag).replace("_", " ")
