"""Journals that a seal covers, from a copy of the store that has them byte for byte."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from instrument.errors import InstrumentError
from instrument.protocols import Damage
from instrument_local.layout import Layout
from instrument_local.quarantine import Quarantine
from instrument_local.repair.plan import Plan
from instrument_local.repair.sources import Sources
from instrument_local.summaries import SealedJournal, load_seal

_LOST: Final = frozenset(
    {
        "chain_broken",
        "journal_changed",
        "journal_missing",
        "journal_size",
        "line_damaged",
        "sequence_broken",
    }
)


class SealedJournals:
    """Plans to put journals back.

    Args:
        layout: The store.
        quarantine: Takes what is left of them.
        sources: Copies of the store.
    """

    def __init__(self, layout: Layout, quarantine: Quarantine, sources: Sources) -> None:
        self._layout = layout
        self._quarantine = quarantine
        self._sources = sources

    def restored(self, found: Sequence[Damage]) -> Iterator[Plan]:
        """Each journal among `found` of which a copy is what the seal of its run says."""
        damaged = {each.path for each in found}
        lost = {each.path: each for each in found if each.kind in _LOST}
        for name, damage in lost.items():
            path = self._layout.root / name
            sealed = self._sealed(path, damaged)
            if sealed is None:
                continue
            for source, data in self._sources.copies(name):
                if hashlib.sha256(data).hexdigest() == sealed.sha256:
                    do = partial(self._quarantine.put_back, path, data, damage)
                    yield Plan(path, damage.kind, "restored", f"from {source}", do)
                    break

    def _sealed(self, path: Path, damaged: set[str]) -> SealedJournal | None:
        """What the last seal says of the journal at `path`, if it will never grow again."""
        with suppress(InstrumentError, OSError, IndexError):
            seal = self._layout.run_files(path.parent.name).seals[-1]
            if self._layout.relative(seal.path) not in damaged:
                journals = {each.name: each for each in load_seal(seal).journals if each.closed}
                return journals.get(path.stem)
        return None
