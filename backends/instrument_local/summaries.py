"""Runs as values: derived from the journals, or read from a seal that covers all of them.

A seal is ``run.json``: the summary, and of each journal its length, SHA-256 and last chain. A run
that went on after it was sealed gets a further seal, ``run.2.json``; the last one counts, and it
counts only while the journals are as long as it says.
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from instrument.errors import IntegrityError, NotFoundError, StoreError
from instrument.naming import check_run_id
from instrument.records import Entry, ProcessFinished
from instrument.summary import RunSummary, summarise
from instrument.vocabulary import RunState
from instrument_local.files import store_errors
from instrument_local.layout import Layout, RunFiles, seal_name, seal_number
from instrument_local.ledger.queue import note_seal
from instrument_local.lines import entries_of, genesis, stated_chain
from instrument_local.liveness import Markers
from instrument_local.run_files import RunFile
from instrument_local.stamps import stamp, unstamp

if TYPE_CHECKING:
    from instrument_local.imported import Origins


COMPUTED: Final = frozenset(
    {"data", "duration_seconds", "ended_by", "generations", "logged_again", "models"}
    | {"recording", "seeds", "telemetry"}
)
"""Fields of a summary that another version of the program made otherwise, or did not know.

A version that makes a further field otherwise than those before it puts it here.
"""


class SealedJournal(msgspec.Struct, frozen=True):
    """A journal as it was when the run was sealed.

    Attributes:
        name: Its name, without ``.jsonl``.
        records: Number of whole lines.
        head: Chain of the last whole line.
        sha256: Of the bytes of the file.
        size_bytes: Size of the file.
        closed: Whether its last record says that it was closed: then it never grows again.
    """

    name: str
    records: int
    head: str
    sha256: str
    size_bytes: int
    closed: bool


class Seal(msgspec.Struct, frozen=True):
    """Content of ``run.json``.

    Attributes:
        run: The summary.
        journals: All journals, by name.
    """

    run: RunSummary
    journals: tuple[SealedJournal, ...]


class Reading(NamedTuple):
    """A summary and how it came about.

    Attributes:
        summary: The summary.
        is_final: Whether nothing can change any more unless a new attempt is started.
        signature: What `Summaries.signature` said of the files that were read.
    """

    summary: RunSummary
    is_final: bool
    signature: str


class Summaries:
    """Reads and seals the runs of one store."""

    def __init__(self, layout: Layout, markers: Markers) -> None:
        self._layout = layout
        self._markers = markers

    def read(self, run_id: str, *, alive: bool | None = None) -> Reading:
        """The run as it is now.

        Args:
            run_id: The run.
            alive: Whether a process still records for it, where that is known already.

        Raises:
            NotFoundError: There is no such run.
        """
        with store_errors(f"read run {run_id}"):
            files = self._files(run_id)
            sizes = _sizes(files)
            seal = _current_seal(files, sizes)
            if alive is None:
                alive = self._markers.alive(run_id)
            if seal is not None:
                is_final = not alive and _is_closed(seal, files)
                return Reading(_summary(seal, files), is_final, _signature(files, sizes))
            if seal := _seal_of_more(files, sizes):
                summary = _told_of_cuts(_summary(seal, files), seal, sizes)
                return Reading(summary, is_final=False, signature=_signature(files, sizes))
            entries = (entry for each in files.journals for entry in _entries(each, files))
            summary = _as_stored(summarise(run_id, entries, alive=alive))
            return Reading(summary, is_final=False, signature=_signature(files, sizes))

    def current_seal(self, run_id: str) -> Seal | None:
        """The last seal of the run, if it covers all journals.

        Raises:
            NotFoundError: There is no such run.
        """
        with store_errors(f"read run {run_id}"):
            files = self._files(run_id)
            return _current_seal(files, _sizes(files))

    def signature(self, run_id: str) -> str:
        """What changes whenever a journal of the run grows, or a file is added."""
        files = self._layout.run_files(run_id)
        return _signature(files, _sizes(files))

    def seal(self, run_id: str) -> RunSummary:
        """See `instrument.protocols.Store`; a run that still goes on is not sealed.

        Nor is one that lost a part of what its last seal covers: that seal is the true one.
        """
        with store_errors(f"seal run {run_id}"):
            files = self._files(run_id)
            sizes = _sizes(files)
            seal = _current_seal(files, sizes)
            if seal is not None:
                summary = _summary(seal, files)
            elif (seal := _seal_of_more(files, sizes)) is not None:
                summary = _told_of_cuts(_summary(seal, files), seal, sizes)
            else:
                seal = self._make_seal(run_id, files)
                summary = seal.run
                if summary.state is not RunState.RUNNING and not _is_cut(files, sizes):
                    self._write(run_id, files, seal)
            self._markers.drop_dead(run_id)
            return summary

    def seal_bytes(self, run_id: str) -> bytes:
        """What a seal of the run would hold that is made now.

        Raises:
            NotFoundError: There is no such run.
            StoreError: A process may record for it still.
        """
        with store_errors(f"read run {run_id}"):
            seal = self._make_seal(run_id, self._files(run_id))
        if seal.run.state is RunState.RUNNING:
            raise StoreError(f"run {run_id} may be recording still; repair again when it has ended")
        return stamp(msgspec.json.encode(seal))

    def entries(self, run_id: str) -> Iterator[Entry]:
        """See `instrument.protocols.Catalogue`."""
        with store_errors(f"read run {run_id}"):
            files = self._files(run_id)
            for journal in files.journals:
                yield from _entries(journal, files)

    def _files(self, run_id: str) -> RunFiles:
        files = self._layout.run_files(check_run_id(run_id))
        if not (files.journals or files.seals):
            raise NotFoundError(f"there is no run {run_id!r}")
        return files

    def _make_seal(self, run_id: str, files: RunFiles) -> Seal:
        alive = self._markers.alive(run_id)  # before reading: who dies meanwhile is seen next time
        readings = [_JournalReading(run_id, journal, files) for journal in files.journals]
        entries = (entry for reading in readings for entry in reading.entries())
        summary = _as_stored(summarise(run_id, entries, alive=alive))
        return Seal(run=summary, journals=tuple(reading.result() for reading in readings))

    def _write(self, run_id: str, files: RunFiles, seal: Seal) -> None:
        data = stamp(msgspec.json.encode(seal))
        directory = self._layout.run_directory_to_write(run_id)
        number = max((seal_number(file.path) for file in files.seals), default=0) + 1
        # Another process may seal the same run at the same time: whose name is taken, goes on.
        while not self._layout.files.publish(directory / seal_name(number), data):
            number += 1
        note_seal(self._layout, directory / seal_name(number))


class _JournalReading:
    """Reads a journal once, for its entries and for its line in the seal."""

    def __init__(self, run_id: str, journal: RunFile, files: RunFiles) -> None:
        self._journal = journal
        self._origins = _origins(files)
        self._sha256 = hashlib.sha256()
        self._size = self._records = 0
        self._last = b""
        self._closed = False
        there = self._origins.run_id(journal, run_id) if self._origins else run_id
        self._genesis = genesis(there, journal.stem).hex()

    def entries(self) -> Iterator[Entry]:
        entries = entries_of(self._lines(), self._journal.stem)
        if self._origins:
            entries = self._origins.entries(self._journal, entries)
        for entry in entries:
            self._closed = isinstance(entry.record, ProcessFinished)
            yield entry

    def result(self) -> SealedJournal:
        return SealedJournal(
            name=self._journal.stem,
            records=self._records,
            head=stated_chain(self._last) if self._records else self._genesis,
            sha256=self._sha256.hexdigest(),
            size_bytes=self._size,
            closed=self._closed,
        )

    def _lines(self) -> Iterator[bytes]:
        for line in self._journal.lines():
            self._sha256.update(line)
            self._size += len(line)
            if line.endswith(b"\n"):
                self._records += 1
                self._last = line
            yield line


def _sizes(files: RunFiles) -> dict[str, int]:
    return {journal.stem: journal.size_bytes for journal in files.journals}


def _signature(files: RunFiles, sizes: dict[str, int]) -> str:
    packed = sum(journal.is_packed for journal in files.journals)
    return f"{sizes} {len(files.seals)} {packed}"


def _current_seal(files: RunFiles, sizes: dict[str, int]) -> Seal | None:
    """The last seal, if it covers the journals, which have these `sizes`."""
    seal = _last_seal(files)
    return seal if seal is not None and _covered(seal) == sizes else None


def _is_cut(files: RunFiles, sizes: dict[str, int]) -> bool:
    """Whether the last seal covers more than there is in the journals, which have these `sizes`."""
    seal = _last_seal(files)
    return seal is not None and any(
        sizes.get(name, 0) < covered for name, covered in _covered(seal).items()
    )


def _seal_of_more(files: RunFiles, sizes: dict[str, int]) -> Seal | None:
    """The last seal, if it tells all that is in the journals, and more that they have lost."""
    seal = _last_seal(files)
    covered = _covered(seal) if seal is not None else {}
    tells_all = all(size <= covered.get(name, -1) for name, size in sizes.items())
    return seal if tells_all and covered != sizes else None


def _told_of_cuts(summary: RunSummary, seal: Seal, sizes: dict[str, int]) -> RunSummary:
    """`summary`, the last true one, with what its journals have lost since."""
    lost = [
        f"journal {name} is damaged: {sizes.get(name, 0)} of {size} bytes are there "
        f"(what is told here is what its seal keeps; `instrument verify {summary.id}` tells more)"
        for name, size in _covered(seal).items()
        if sizes.get(name, 0) < size
    ]
    problems = [*summary.recording.problems, *lost]
    recording = msgspec.structs.replace(summary.recording, complete=False, problems=problems)
    return msgspec.structs.replace(summary, recording=recording)


def _covered(seal: Seal) -> dict[str, int]:
    return {journal.name: journal.size_bytes for journal in seal.journals}


def _last_seal(files: RunFiles) -> Seal | None:
    if files.seals:
        with suppress(OSError, IntegrityError):  # `verify` tells; the journals are what counts
            return load_seal(files.seals[-1])
    return None


def load_seal(file: RunFile) -> Seal:
    """The seal in `file`.

    Raises:
        IntegrityError: The file is damaged.
        OSError: It cannot be read.
    """
    try:
        return msgspec.json.decode(unstamp(file.read()), type=Seal)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, IntegrityError) as error:
        raise IntegrityError(f"{file.path} is damaged: {error}") from error


def _is_closed(seal: Seal, files: RunFiles) -> bool:
    """Whether no journal of the run can grow any more."""
    packed = {journal.stem for journal in files.journals if journal.is_packed}
    return all(journal.closed or journal.name in packed for journal in seal.journals)


def _entries(journal: RunFile, files: RunFiles) -> Iterator[Entry]:
    entries = entries_of(journal.lines(), journal.stem)
    origins = _origins(files)
    return origins.entries(journal, entries) if origins else entries


def _origins(files: RunFiles) -> "Origins | None":
    """Where the files of a run came from; None for a run that was recorded here."""
    if not files.facts:
        return None
    from instrument_local.imported import Origins

    return Origins(files.facts)


def _summary(seal: Seal, files: RunFiles) -> RunSummary:
    """The summary in `seal`, the last one of `files`, with the names of here."""
    origins = _origins(files)
    origin = origins.of(files.seals[-1]) if origins else None
    return origin.summary(seal.run) if origin is not None else seal.run


def contradictions(run_id: str, files: RunFiles) -> Iterator[tuple[str, Any, Any]]:
    """Where the last seal, if it covers the journals, does not tell of the run what those tell.

    Yields:
        The field, what the seal says, and what is so.

    Raises:
        IntegrityError: The seal is damaged.
        OSError: Something cannot be read.
    """
    sizes = _sizes(files)
    seal = load_seal(files.seals[-1]) if files.seals else None
    if seal is None or _covered(seal) != sizes:
        return
    entries = (entry for journal in files.journals for entry in _entries(journal, files))
    so, said = _as_stored(summarise(run_id, entries, alive=False)), _summary(seal, files)
    if _sizes(files) == sizes:  # else a process that had stopped went on meanwhile
        for field in RunSummary.__struct_fields__:
            if getattr(said, field) != getattr(so, field):
                yield field, getattr(said, field), getattr(so, field)


def _as_stored(summary: RunSummary) -> RunSummary:
    """`summary` as it will be read from a seal, so that sealing changes no answer."""
    return msgspec.json.decode(msgspec.json.encode(summary), type=RunSummary)
