"""``audit=required``: no run begins or ends behind the ledger's back.

Its beginning is in the ledger before its first record; what cannot be told there does not start.
While it runs it needs no ledger, and nothing stops it. When it has ended and is sealed, the seal is
in the ledger, or an `AuditError` is raised: what it recorded is kept all the same.
"""

from collections.abc import Callable

from instrument.errors import AuditError, InstrumentError
from instrument.guard import one_line
from instrument.protocols import Store
from instrument.protocols.ledger import Auditing
from instrument.vocabulary import RunState


class RequiredAudit:
    """Tells the ledger of one run.

    Args:
        store: Where the run is recorded.
        run_id: The run.
        attempt: The attempt that this is.
    """

    def __init__(self, store: Store | None, run_id: str, attempt: int) -> None:
        self._store = store
        self._run_id = run_id
        self._attempt = attempt

    def begins(self) -> None:
        """The run begins; nothing of it is recorded yet.

        Raises:
            AuditError: The ledger cannot tell of it: it must not begin.
        """
        try:
            self._tell(lambda ledger: ledger.enter_beginning(self._run_id, self._attempt))
        except (InstrumentError, OSError) as error:
            raise AuditError(
                f"run {self._run_id} does not start: audit=required, and its beginning cannot be "
                f"entered in the ledger: {one_line(error)}; or set audit=best-effort"
            ) from error

    def ends(self, seal: Callable[[], RunState]) -> None:
        """The run has ended.

        Args:
            seal: Seals the run.

        Raises:
            AuditError: It is not sealed, or the ledger cannot tell of it.
        """
        try:
            if seal() is RunState.RUNNING:
                raise AuditError("its end could not be recorded")
            self._tell(lambda ledger: ledger.enter_seal(self._run_id))
        except (InstrumentError, OSError) as error:
            raise self.open_end(one_line(error)) from error

    def open_end(self, reason: str) -> AuditError:
        """What to raise where the ledger does not know that the run has ended."""
        return AuditError(
            f"run {self._run_id} has ended, but audit=required and its end is not in the ledger: "
            f"{reason}; what it recorded is kept, and `instrument repair` closes it once that is "
            "mended"
        )

    def _tell(self, enter: Callable[[Auditing], None]) -> None:
        store: object = self._store
        if not isinstance(store, Auditing):
            raise AuditError(f"a store of type {type(store).__name__} keeps no ledger")
        enter(store)
