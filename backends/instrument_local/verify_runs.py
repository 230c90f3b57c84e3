"""Checks the journals of a run against their chains, and against the run's seals."""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from instrument.errors import IntegrityError
from instrument.records import ArtifactLogged, ArtifactUsed, Record, RunStarted
from instrument_local.findings import Findings
from instrument_local.imported import Imported, Origins
from instrument_local.layout import Layout, RunFiles, seal_name, seal_number
from instrument_local.lines import (
    TAIL_LENGTH,
    chain_of,
    finish_line,
    genesis,
    parse_line,
    stated_chain,
)
from instrument_local.packs.check import flaws_of
from instrument_local.references import Said, objects_of, said_by
from instrument_local.run_files import RunFile
from instrument_local.summaries import COMPUTED, SealedJournal, contradictions, load_seal

_SECTOR_BYTES: Final = 512
_SHOWN: Final = 200


class Referrer(NamedTuple):
    """A file that names a run.

    Attributes:
        path: The file.
        origin: The store that it came from in a bundle; None: it was made here.
    """

    path: Path
    origin: str | None


class RunChecker:
    """Checks runs, one after another.

    Args:
        layout: Where the store keeps things.
        findings: Takes what is found.
    """

    def __init__(self, layout: Layout, findings: Findings) -> None:
        self._layout = layout
        self._findings = findings
        self.references: dict[str, dict[Said, Path]] = {}  # ref -> what is said of it, journal
        self.parents: dict[str, Referrer] = {}  # run that began another -> journal
        self._computed: dict[str, list[Path]] = {}  # field -> seals that tell another

    def check_packs(self) -> None:
        """Check every byte of all packs."""
        shelf = self._layout.packs
        for pack in shelf.packs():
            with self._findings.reading("pack_missing", pack.path):
                self._findings.size_bytes += pack.path.lstat().st_size
                for flaw in flaws_of(pack):
                    self._findings.add("pack_damaged", flaw.path, flaw.expected, flaw.found)

    def check(self, run_id: str) -> None:
        """Check all journals and seals of the run."""
        self._findings.runs += 1
        before = self._findings.damaged
        with self._findings.reading("run_unreadable", self._layout.run_path(run_id)):
            files = self._layout.run_files(run_id)
            self._findings.runs -= not (files.journals or files.seals)  # it was never written
            origins = Origins(files.facts)
            for journal in files.journals:
                with self._findings.reading("journal_missing", journal.path):
                    self._check_journal(run_id, journal, origins)
            self._check_seals(run_id, files)
            if self._findings.damaged == before:  # else it would tell the same once more
                self._check_told(run_id, files)

    def _check_journal(self, run_id: str, journal: RunFile, origins: Origins) -> None:
        path, seq, offset = journal.path, 0, 0
        chain: bytes | None = genesis(origins.run_id(journal, run_id), journal.stem)
        before_gap: bytes | None = None
        for number, line in enumerate(journal.lines(), start=1):
            self._findings.size_bytes += len(line)
            if not line.endswith(b"\n"):
                found = f"{len(line)} bytes of line {number}"
                self._findings.add("torn_tail", path, "a whole last line", found, "note")
                return
            if _is_gap(line, offset):
                found = "zeroes, as a power cut leaves them in the place of what was not synced"
                self._findings.add("torn_gap", path, f"line {number}: a record", found, "note")
                before_gap, chain, seq = chain, _stated(line), -1
            else:
                # What follows a gap as if it were not there shows that nothing was lost in it.
                follows = before_gap is not None and _follows(line, before_gap)
                chain = self._check_chain(path, number, line, None if follows else chain)
                seq = self._check_line(journal, number, line, seq, origins.of(journal))
                if follows:
                    expected = f"line {number - 1}: nothing"
                    self._findings.add("chain_broken", path, expected, "zeroes, put there")
                before_gap = None
            offset += len(line)

    def _check_chain(self, path: Path, number: int, line: bytes, previous: bytes | None) -> bytes:
        """Check that `line` follows the chain `previous`, None where that is not known; its own."""
        body = line[:-TAIL_LENGTH]
        stated = _stated(line)
        chain = chain_of(body, previous) if previous is not None else stated or b""
        if line != finish_line(body, chain):
            expected = f"line {number}: chain {chain.hex()}"
            found = f"line {number}: chain {stated_chain(line)}"
            self._findings.add("chain_broken", path, expected, found)
        return stated or chain

    def _check_line(
        self, journal: RunFile, number: int, line: bytes, seq: int, origin: Imported | None
    ) -> int:
        """Check what a line says; the sequence number that the next one must have, or -1: any."""
        path = journal.path
        try:
            entry = parse_line(line, path.stem)
        except IntegrityError as error:
            self._findings.add("line_damaged", path, f"line {number}: a record", str(error)[:200])
            return seq + 1 if seq >= 0 else seq
        if seq not in {entry.seq, -1}:
            expected = f"line {number}: seq {seq}"
            self._findings.add("sequence_broken", path, expected, f"line {number}: seq {entry.seq}")
        self._collect(entry.record, path, origin)
        return entry.seq + 1

    def _collect(self, record: Record, path: Path, origin: Imported | None) -> None:
        """Remember what the record refers to."""
        record = origin.record(record) if origin else record
        for digest in objects_of(record):
            self._findings.want(digest, path)
        if isinstance(record, ArtifactLogged | ArtifactUsed):
            said = said_by(record, elsewhere=origin is not None)
            self.references.setdefault(record.ref, {}).setdefault(said, path)
        elif isinstance(record, RunStarted) and record.parent_run_id is not None:
            referrer = Referrer(path, origin.origin if origin else None)
            self.parents.setdefault(record.parent_run_id, referrer)

    def _check_seals(self, run_id: str, files: RunFiles) -> None:
        numbers = {seal_number(seal.path): seal for seal in files.seals}
        for _, seal in sorted(numbers.items()):
            self.check_seal(seal, files.journals)
        directory = self._layout.run_path(run_id)
        self._findings.missing(
            "seal_missing", numbers, lambda number: directory / seal_name(number), "a seal"
        )
        self.check_cover(files)

    def _check_told(self, run_id: str, files: RunFiles) -> None:
        """Check that the last seal tells of the run what its journals tell."""
        with self._findings.reading("seal_damaged", self._layout.run_path(run_id)):
            for field, said, so in contradictions(run_id, files):
                expected = f"{field}: {_short(so)}, as its journals tell"
                path = files.seals[-1].path
                if field in COMPUTED:
                    self._computed.setdefault(field, []).append(path)
                else:
                    self._findings.add("seal_untrue", path, expected, f"{field}: {_short(said)}")

    def tell_computed(self) -> None:
        """Note what seals tell that this version computes otherwise, all of a kind at once."""
        for field, paths in sorted(self._computed.items()):
            others = f", and {len(paths) - 1:,} more seals do" if len(paths) > 1 else ""
            found = f"it tells another{others}: by another version, or forged"
            expected = f"{field} as this version makes it of the journals"
            self._findings.add("seal_otherwise", paths[0], expected, found, "note")
        self._computed.clear()

    def check_cover(self, files: RunFiles) -> None:
        """Note the journals that went on after the last seal was made."""
        by_name = {journal.stem: journal for journal in files.journals}
        with suppress(IntegrityError, OSError, IndexError):  # there is none, or that was told
            seal = files.seals[-1]
            for sealed in load_seal(seal).journals:
                journal = by_name.get(sealed.name)
                size = journal.size_bytes if journal is not None and not sealed.closed else 0
                if journal is not None and size > sealed.size_bytes:
                    expected = f"{sealed.size_bytes} bytes, as sealed in {seal.name}"
                    found = f"{size} bytes: its process went on, and no seal covers the rest"
                    self._findings.add("journal_went_on", journal.path, expected, found, "note")

    def check_seal(self, seal: RunFile, journals: Iterable[RunFile]) -> None:
        """Check that the `journals` of a run are what its `seal` says, byte by byte."""
        by_name = {journal.stem: journal for journal in journals}
        with self._findings.reading("seal_damaged", seal.path):
            self._findings.size_bytes += seal.size_bytes
            for sealed in load_seal(seal).journals:
                self._check_sealed(seal.path, sealed, by_name.get(sealed.name))

    def _check_sealed(self, seal: Path, sealed: SealedJournal, journal: RunFile | None) -> None:
        """Check that `journal` still begins (or is) as it was sealed."""
        if journal is None:
            missing = seal.with_name(f"{sealed.name}.jsonl")
            self._findings.add("journal_missing", missing, f"{sealed.records} records", "nothing")
            return
        with self._findings.reading("journal_missing", journal.path):
            self._check_bytes(seal, sealed, journal)

    def _check_bytes(self, seal: Path, sealed: SealedJournal, journal: RunFile) -> None:
        size = journal.size_bytes
        if size < sealed.size_bytes or (sealed.closed and size != sealed.size_bytes):
            expected = f"{sealed.size_bytes} bytes, as sealed in {seal.name}"
            self._findings.add("journal_size", journal.path, expected, f"{size} bytes")
            return
        found = _hash_start(journal, sealed.size_bytes)
        if found != sealed.sha256:
            expected = f"sha256:{sealed.sha256}, as sealed in {seal.name}"
            self._findings.add("journal_changed", journal.path, expected, f"sha256:{found}")


def changed_files(layout: Layout, run_id: str) -> tuple[str, ...]:
    """See `instrument.protocols.sealing.Sealing`."""
    findings = Findings(layout)
    with findings.reading("unreadable", layout.run_path(run_id)):
        files = layout.run_files(run_id)
        for seal in files.seals:
            RunChecker(layout, findings).check_seal(seal, files.journals)
    found = (each.path for each in findings.result().problems if each.kind != "unreadable")
    return tuple(dict.fromkeys(found))


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _is_gap(line: bytes, offset: int) -> bool:
    """Whether in `line`, at `offset` of its journal, zeroes stand where nothing was synced.

    No record has zeroes. What was not synced begins with a line, or with a sector of the disk.
    """
    place = line.find(b"\0")
    return place == 0 or (place > 0 and (offset + place) % _SECTOR_BYTES == 0)


def _follows(line: bytes, chain: bytes) -> bool:
    body = line[:-TAIL_LENGTH]
    return line == finish_line(body, chain_of(body, chain))


def _stated(line: bytes) -> bytes | None:
    try:
        return bytes.fromhex(stated_chain(line))
    except ValueError:
        return None


def _hash_start(journal: RunFile, size: int) -> str:
    """SHA-256 in hex of the first `size` bytes of `journal`."""
    sha256 = hashlib.sha256()
    for chunk in journal.chunks():
        sha256.update(chunk[:size])
        size -= min(size, len(chunk))
    return sha256.hexdigest()
