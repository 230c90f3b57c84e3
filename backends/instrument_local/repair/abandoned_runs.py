"""Runs whose processes are dead: not sealed, still marked as open, or packed by half."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property, partial
from itertools import count

from instrument.audit import RunDropped, RunSealed
from instrument.errors import InstrumentError, StoreError
from instrument_local.layout import Layout, seal_name
from instrument_local.ledger.local import LocalLedger
from instrument_local.ledger.queue import note_seal
from instrument_local.liveness import Markers, drop
from instrument_local.packs.moving import Packer
from instrument_local.repair.plan import Plan
from instrument_local.summaries import Summaries
from instrument_local.upkeep.tombstones import dropped_runs
from instrument_local.verify_runs import changed_files


class AbandonedRuns:
    """Looks for what dead processes did not bring to an end.

    Args:
        layout: The store.
        markers: Who is recording.
        summaries: Its runs.
    """

    def __init__(self, layout: Layout, markers: Markers, summaries: Summaries) -> None:
        self._layout = layout
        self._markers = markers
        self._summaries = summaries
        self._packer = Packer(layout, markers, summaries)

    def half_packed(self) -> Iterator[Plan]:
        """Runs that are in a pack and outside of it, both the same."""
        loose, packed = self._layout.loose_run_ids(), set(self._layout.packs.run_ids())
        for run_id in sorted(loose & packed):
            if self._packer.is_unfinished(run_id):
                yield Plan(
                    self._layout.run_path(run_id),
                    "half_packed",
                    "finished",
                    "what a pack has is removed beside it",
                    partial(self._packer.finish, run_id),
                )

    def unsealed(self) -> Iterator[Plan]:
        """Runs that no living process records for, and that no seal closes.

        One whose journals are no more what a seal says is damaged, and that seal stays its last.
        What a removal that was cut off has left is no run any more; `delete_run` ends it.
        """
        alive = self._markers.alive_run_ids()
        for run_id in sorted(self._layout.loose_run_ids() - alive):
            with suppress(InstrumentError, OSError):  # without a journal there is no run
                if self._summaries.current_seal(run_id) is not None:
                    continue
                if not (self._is_damaged(run_id) or self._is_being_removed(run_id)):
                    yield Plan(
                        self._layout.run_path(run_id),
                        "not_sealed",
                        "sealed",
                        "its processes are gone",
                        partial(self._seal, run_id),
                    )

    def dead_markers(self) -> Iterator[Plan]:
        """Markers of processes that no longer live, after their runs were sealed."""
        for path in sorted(self._markers.paths()):
            if not self._markers.is_alive(path):
                yield Plan(
                    path,
                    "dead_marker",
                    "removed",
                    "the process is gone",
                    partial(drop, self._layout.files.disk, path),
                )

    def _is_damaged(self, run_id: str) -> bool:
        """Whether a seal covers what the journals do not have."""
        changed = changed_files(self._layout, run_id)
        return any(path.endswith(".jsonl") for path in changed)

    def _is_being_removed(self, run_id: str) -> bool:
        """Whether it was removed on purpose, not to the end, and not recorded again since."""
        removed = self._removed.get(run_id)
        return removed is not None and all(
            entry.at <= removed.at for entry in self._summaries.entries(run_id)
        )

    @cached_property
    def _removed(self) -> dict[str, RunDropped]:
        """The removals that the ledger tells of; none where it cannot be read."""
        with suppress(InstrumentError):
            return dropped_runs(self._layout)
        return {}

    def _seal(self, run_id: str) -> None:
        """Seal the run under the first name that is free, and not the ledger's for another seal."""
        data = self._summaries.seal_bytes(run_id)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        taken = {seal.name for seal in self._layout.run_files(run_id).seals}
        known = self._seals_in_ledger.get(run_id, {})
        free = (name for name in map(seal_name, count(1)) if name not in taken)
        name = next(name for name in free if known.get(name, digest) == digest)
        path = self._layout.run_directory_to_write(run_id) / name
        if not self._layout.files.publish(path, data):
            raise StoreError(f"{path} was made by somebody else meanwhile; repair again")
        note_seal(self._layout, path)

    @cached_property
    def _seals_in_ledger(self) -> dict[str, dict[str, str]]:
        """For each run the digests of its seals, by their names; what can be read of them."""
        found: dict[str, dict[str, str]] = {}
        with suppress(InstrumentError):
            for entry in LocalLedger(self._layout).entries():
                event = entry.event
                if isinstance(event, RunSealed):
                    found.setdefault(event.run_id, {})[event.seal] = event.digest
        return found
