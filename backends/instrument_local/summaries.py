"""Runs as values: derived from the journals, or read from a seal that covers all of them.

A seal is ``run.json``: the summary, and of each journal its length, SHA-256 and last chain. A run
that went on after it was sealed gets a further seal, ``run.2.json``; the last one counts, and it
counts only while the journals are as long as it says.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from instrument.errors import IntegrityError, NotFoundError
from instrument.naming import check_run_id
from instrument.records import Entry, ProcessFinished, RunState
from instrument.summary import RunSummary, summarise
from instrument_local.files import read_file, store_errors
from instrument_local.layout import Layout, seal_name, seal_number
from instrument_local.lines import entries_of, genesis, read_lines, stated_chain
from instrument_local.liveness import Markers
from instrument_local.stamps import stamp, unstamp


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
    """

    summary: RunSummary
    is_final: bool


class Summaries:
    """Reads and seals the runs of one store."""

    def __init__(self, layout: Layout, markers: Markers) -> None:
        self._layout = layout
        self._markers = markers

    def read(self, run_id: str) -> Reading:
        """The run as it is now.

        Raises:
            NotFoundError: There is no such run.
        """
        with store_errors(f"read run {run_id}"):
            journals = self._journals(run_id)
            seal = self._current_seal(run_id, journals)
            alive = self._markers.alive(run_id)
            if seal is not None:
                is_final = not alive and all(journal.closed for journal in seal.journals)
                return Reading(seal.run, is_final)
            entries = (entry for path in journals for entry in _entries(path))
            return Reading(_as_stored(summarise(run_id, entries, alive=alive)), is_final=False)

    def seal(self, run_id: str) -> RunSummary:
        """See `instrument.protocols.Store`; a run that still goes on is not sealed."""
        with store_errors(f"seal run {run_id}"):
            journals = self._journals(run_id)
            seal = self._current_seal(run_id, journals)
            if seal is None:
                seal = self._make_seal(run_id, journals)
                if seal.run.state is not RunState.RUNNING:
                    self._write(run_id, seal)
            self._markers.drop_dead(run_id)
            return seal.run

    def entries(self, run_id: str) -> Iterator[Entry]:
        """See `instrument.protocols.Catalogue`."""
        with store_errors(f"read run {run_id}"):
            for path in self._journals(run_id):
                yield from _entries(path)

    def signature(self, run_id: str) -> str:
        """What changes whenever a journal of the run grows, or one is added."""
        sizes = {path.name: path.stat().st_size for path in self._layout.journals(run_id)}
        return f"{sizes} {len(self._layout.seals(run_id))}"

    def _journals(self, run_id: str) -> list[Path]:
        journals = self._layout.journals(check_run_id(run_id))
        if not journals:
            raise NotFoundError(f"there is no run {run_id!r}")
        return journals

    def _current_seal(self, run_id: str, journals: list[Path]) -> Seal | None:
        """The last seal, if it covers `journals` as they are."""
        seals = self._layout.seals(run_id)
        if not seals:
            return None
        try:
            seal = load_seal(seals[-1])
        except (OSError, IntegrityError):
            return None  # `verify` tells; the journals are what counts
        covered = {journal.name: journal.size_bytes for journal in seal.journals}
        found = {path.stem: path.stat().st_size for path in journals}
        return seal if covered == found else None

    def _make_seal(self, run_id: str, journals: list[Path]) -> Seal:
        alive = self._markers.alive(run_id)  # before reading: who dies meanwhile is seen next time
        readings = [_JournalReading(run_id, path) for path in journals]
        entries = (entry for reading in readings for entry in reading.entries())
        summary = _as_stored(summarise(run_id, entries, alive=alive))
        return Seal(run=summary, journals=tuple(reading.result() for reading in readings))

    def _write(self, run_id: str, seal: Seal) -> None:
        data = stamp(msgspec.json.encode(seal))
        directory = self._layout.run_directories(run_id)[0]
        number = max(map(seal_number, self._layout.seals(run_id)), default=0) + 1
        # Another process may seal the same run at the same time: whose name is taken, goes on.
        while not self._layout.files.publish(directory / seal_name(number), data):
            number += 1


class _JournalReading:
    """Reads a journal once, for its entries and for its line in the seal."""

    def __init__(self, run_id: str, path: Path) -> None:
        self._path = path
        self._sha256 = hashlib.sha256()
        self._size = self._records = 0
        self._last = b""
        self._closed = False
        self._genesis = genesis(run_id, path.stem).hex()

    def entries(self) -> Iterator[Entry]:
        for entry in entries_of(self._lines(), self._path.stem):
            self._closed = isinstance(entry.record, ProcessFinished)
            yield entry

    def result(self) -> SealedJournal:
        return SealedJournal(
            name=self._path.stem,
            records=self._records,
            head=stated_chain(self._last) if self._records else self._genesis,
            sha256=self._sha256.hexdigest(),
            size_bytes=self._size,
            closed=self._closed,
        )

    def _lines(self) -> Iterator[bytes]:
        for line in read_lines(self._path):
            self._sha256.update(line)
            self._size += len(line)
            if line.endswith(b"\n"):
                self._records += 1
                self._last = line
            yield line


def load_seal(path: Path) -> Seal:
    """The seal in the file `path`.

    Raises:
        IntegrityError: The file is damaged.
        OSError: It cannot be read.
    """
    try:
        return msgspec.json.decode(unstamp(read_file(path)), type=Seal)
    except (msgspec.MsgspecError, UnicodeDecodeError, IntegrityError) as error:
        raise IntegrityError(f"{path} is damaged: {error}") from error


def _entries(path: Path) -> Iterator[Entry]:
    return entries_of(read_lines(path), path.stem)


def _as_stored(summary: RunSummary) -> RunSummary:
    """`summary` as it will be read from a seal, so that sealing changes no answer."""
    return msgspec.json.decode(msgspec.json.encode(summary), type=RunSummary)
