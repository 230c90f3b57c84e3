"""A local store on a file system that can hang: nobody who records waits for it for ever."""

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from instrument.naming import Reference, check_run_id
from instrument.protocols import Clock, Draft
from instrument.records import ProcessStarted
from instrument.summary import RunSummary
from instrument.vocabulary import ArtifactVersion, File
from instrument_local.copying import Told
from instrument_local.journal import Journal
from instrument_local.patience import CALL_SECONDS, Patience, seconds_for
from instrument_local.spool import SpooledJournal
from instrument_local.store import LocalStore

OPEN_SECONDS: Final = 10.0
"""How long the beginning and the end of a run wait for what is not a record."""


class PatientStore(LocalStore):
    """See `LocalStore`. What only reads for people (lists, `verify`) waits as any program does.

    Raises:
        StoreError: The store does not answer; from all methods that are overridden here.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._patience = Patience(path)
        self._patience.call(OPEN_SECONDS, super().__init__, path, clock)

    def put_bytes(self, data: bytes) -> str:
        """See `instrument.protocols.Objects`."""
        return self._patience.call(seconds_for(len(data)), super().put_bytes, data)

    def put_file(self, path: Path) -> File:
        """See `instrument.protocols.Objects`."""
        return self._patience.call(_seconds_for_files([path]), super().put_file, path)

    def put_files(self, paths: Sequence[str | Path], told: Told | None = None) -> list[File]:
        """See `instrument.protocols.Objects`."""
        return self._patience.call(_seconds_for_files(paths), super().put_files, paths, told)

    def claim(self, draft: Draft, why: str | None = None) -> ArtifactVersion:
        """See `instrument.protocols.Versions`."""
        return self._patience.call(CALL_SECONDS, super().claim, draft, why)

    def resolve(self, reference: Reference) -> ArtifactVersion:
        """See `instrument.protocols.Versions`."""
        return self._patience.call(CALL_SECONDS, super().resolve, reference)

    def tag(
        self, reference: Reference, alias: str, at: datetime, why: str | None = None
    ) -> ArtifactVersion:
        """See `instrument.protocols.Versions`."""
        return self._patience.call(CALL_SECONDS, super().tag, reference, alias, at, why)

    def begin(  # type: ignore[override]  # both are what the protocol asks for
        self, process: ProcessStarted
    ) -> SpooledJournal:
        """See `instrument.protocols.Store`."""
        self._begun.add(check_run_id(process.run_id))
        return SpooledJournal(
            lambda: Journal(self._layout, self._markers, self._clock, process),
            process,
            self._clock,
        )

    def seal(self, run_id: str) -> RunSummary:
        """See `instrument.protocols.Store`."""
        return self._patience.call(OPEN_SECONDS, super().seal, run_id)

    def enter_beginning(self, run_id: str, attempt: int) -> None:
        """See `instrument.protocols.ledger.Auditing`."""
        self._patience.call(OPEN_SECONDS, super().enter_beginning, run_id, attempt)

    def enter_seal(self, run_id: str) -> None:
        """See `instrument.protocols.ledger.Auditing`."""
        self._patience.call(OPEN_SECONDS, super().enter_seal, run_id)


def _seconds_for_files(paths: Sequence[str | Path]) -> float:
    size_bytes = 0
    for path in paths:
        with suppress(OSError):
            size_bytes += os.stat(path).st_size  # noqa: PTH116 - may be text
    return seconds_for(size_bytes)
