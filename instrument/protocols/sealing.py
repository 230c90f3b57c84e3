"""What a store can tell of a run that was sealed, without the ledger."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Sealing(Protocol):
    """A store that seals its runs."""

    def changed_files(self, run_id: str) -> tuple[str, ...]:
        """Files of a run that are not as its seals say; at about the cost of reading the run."""
