"""What this store's own records say that the file of a version is.

The ledger tells of versions that no run's seal covers; of others the journal of the run that made
them. So a file that comes from elsewhere is known to be the very one that was lost here.
"""

from contextlib import suppress
from functools import cached_property

from instrument.audit import VersionsMade
from instrument.errors import InstrumentError, IntegrityError
from instrument.records import ArtifactLogged
from instrument.vocabulary import ArtifactVersion
from instrument_local.imported import Origins
from instrument_local.layout import Layout
from instrument_local.ledger.local import LocalLedger
from instrument_local.lines import parse_line
from instrument_local.verify_runs import changed_files


class VersionEvidence:
    """The evidence in one store.

    Args:
        layout: Where the store keeps things.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def check_of(self, version: ArtifactVersion) -> str | None:
        """The check of the file `version.ref`, as recorded here; None: nothing tells it."""
        return self._made.get(version.ref) or self._logged(version)

    def is_of_here(self, version: ArtifactVersion) -> bool:
        """Whether `version` was read from the very file that belongs here, byte for byte.

        A journal tells it when a seal covers it, and it is as it was sealed.
        """
        if self.check_of(version) != version.check or version.check is None:
            return False
        return version.ref in self._made or self._is_sealed(str(version.run_id))

    def _is_sealed(self, run_id: str) -> bool:
        files = self._layout.run_files(run_id)
        return bool(files.seals) and not changed_files(self._layout, run_id)

    def _logged(self, version: ArtifactVersion) -> str | None:
        """What the run that made it logged, if it was recorded here."""
        if version.run_id is None or not self._layout.has_run(version.run_id):
            return None
        files = self._layout.run_files(version.run_id)
        origins = Origins(files.facts)
        for journal in files.journals:
            for line in journal.lines() if origins.of(journal) is None else ():
                with suppress(IntegrityError):
                    record = parse_line(line, journal.stem).record
                    if isinstance(record, ArtifactLogged) and record.ref == version.ref:
                        return record.check
        return None

    @cached_property
    def _made(self) -> dict[str, str]:
        """What the ledger tells, as far as it can be read; what was said first holds."""
        found: dict[str, str] = {}
        with suppress(InstrumentError):
            for entry in LocalLedger(self._layout).entries():
                if isinstance(entry.event, VersionsMade):
                    for ref, check in entry.event.versions.items():
                        found.setdefault(ref, check)
        return found
