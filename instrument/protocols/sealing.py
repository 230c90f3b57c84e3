"""What a store can tell of a run that was sealed, without the ledger."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Sealing(Protocol):
    """A store that seals its runs."""

    def changed_files(self, run_id: str) -> tuple[str, ...]:
        """Files of a run that are not as its seals say; at about the cost of reading the run."""


def changes(store: object, run_id: str) -> list[str]:
    """What was changed in a run after it was sealed, a line for each file, as far as known."""
    changed = store.changed_files(run_id) if isinstance(store, Sealing) else ()
    return [
        f"{file} is not as it was when the run was sealed: `instrument verify {run_id}`"
        for file in changed
    ]
