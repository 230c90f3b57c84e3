"""Checks every byte of the ledger's files, and the store against what the ledger says."""

import base64
import hashlib
import os
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from instrument.audit import (
    AliasMoved,
    Event,
    GapFound,
    KeyRotated,
    ObjectsDropped,
    RunBegan,
    RunDropped,
    RunSealed,
    VersionsMade,
    decode_event,
)
from instrument.errors import IntegrityError, UsageError
from instrument.naming import parse_reference
from instrument_local.findings import Findings
from instrument_local.layout import Layout
from instrument_local.ledger import pending
from instrument_local.ledger.log import WIDTH, Block, Log, load_head, read_lines
from instrument_local.ledger.tree import Range, leaf_hash
from instrument_local.run_files import RunFile
from instrument_local.stamps import unstamp
from instrument_local.verify_runs import RunChecker
from instrument_local.verify_unrecorded import Standing, check_unrecorded, read_facts
from instrument_local.version_files import AliasFact, fact_path, load_version, version_path
from instrument_local.versions import LocalVersions

REDACTION: Final = "redaction"


class LedgerChecker:
    """One check of the ledger.

    Args:
        layout: Where the store keeps things.
        findings: Takes what is found.
        sizes: Sizes of the ledger at which its root is wanted, for those who hold a checkpoint.
        runs: Checks the journals of the closed runs against their seals; None where that is done
            already.

    Attributes:
        tree: The tree as the entries make it.
        roots: The wanted roots, of sizes that the ledger has.
        rotations: Keys that were announced, with the index of the entry.
        open_runs: Runs that began and were not closed since, with the index of the entry.
        dropped_runs: Runs that were removed on purpose.
        dropped_objects: Digests of objects that were removed on purpose.
        late: How many runs and versions were entered when they were found, not when they were made.
        pending: How many events wait.
    """

    def __init__(
        self,
        layout: Layout,
        findings: Findings,
        sizes: Collection[int] = (),
        runs: RunChecker | None = None,
    ) -> None:
        self._layout = layout
        self._findings = findings
        self._runs = runs
        self._sizes = sorted(sizes)
        self._log = Log(layout)
        self._seals: dict[str, dict[str, str]] = {}
        self._moves: dict[tuple[str, str], AliasMoved] = {}
        self._made: dict[str, str] = {}
        self.tree = Range()
        self.roots: dict[int, bytes] = {0: self.tree.root()}
        self.rotations: list[tuple[int, KeyRotated]] = []
        self.open_runs: dict[str, int] = {}
        self.dropped_runs: set[str] = set()
        self.dropped_objects: set[str] = set()
        self.late = 0
        self.pending = 0

    def check(self) -> None:
        """Check everything."""
        waiting = self._check_pending()
        head = self._check_heads()
        blocks = self._check_blocks()
        size = head.size if head is not None else sum(len(lines) for _, lines in blocks)
        beyond = self._read_blocks(blocks, size)
        self.roots[self.tree.size] = self.tree.root()
        if head is not None:
            self._compare(head, blocks)
        self._check_beyond(beyond, waiting)
        self._check_seals()
        self._check_open_runs()
        self._check_aliases()
        self._check_versions()

    def check_run(self, run_id: str) -> None:
        """Check the seals of one run against what the ledger says of them, and nothing else."""
        self._take_those_with(run_id)
        self._check_seals()

    def check_version(self, ref: str) -> None:
        """Check one version against what the ledger says of it, and nothing else."""
        self._take_those_with(ref)
        self._made = {each: check for each, check in self._made.items() if each == ref}
        self._check_versions()

    def _take_those_with(self, word: str) -> None:
        """Take in the entries that say `word`, as a string of its own."""
        name = f'"{word}"'.encode()
        with self._findings.reading("ledger_damaged", self._log.entries):
            for lines in self._log.read():
                for line in lines:
                    if name in line:
                        self._take(-1, line, self._log.entries)

    def _check_pending(self) -> set[bytes]:
        """The entries of the events that wait."""
        found = set()
        for path in pending.paths(self._layout):
            with self._findings.reading("event_damaged", path):
                found.add(pending.read(path).line)
                self._findings.size_bytes += path.lstat().st_size
                self.pending += 1
        return found

    def _check_heads(self) -> Range | None:
        """The highest head that is whole, or an empty tree where nothing was written yet."""
        paths, whole = self._log.head_paths(), []
        for path in paths:
            with self._findings.reading("ledger_head_damaged", path):
                whole.append(load_head(path))
                self._findings.size_bytes += path.lstat().st_size
        if paths and len(whole) < len(paths):
            return None
        return whole[-1] if whole else Range()

    def _check_blocks(self) -> list[tuple[Block, list[bytes]]]:
        """The longest file of each block, with its entries."""
        found: list[tuple[Block, list[bytes]]] = []
        for block in self._log.blocks():
            lines: list[bytes] = []
            with self._findings.reading("ledger_entries_damaged", block.path):
                lines = read_lines(block.path)
                self._findings.size_bytes += sum(map(len, lines)) + len(lines)
            if found and found[-1][0].first == block.first:
                self._check_same_start(found.pop(), lines)
            elif block.first != len(found) * WIDTH:
                self._findings.add(
                    "ledger_entries_missing",
                    block.path,
                    f"entry {len(found) * WIDTH} before it",
                    "nothing",
                )
            found.append((block, lines))
        return found

    def _check_same_start(self, shorter: tuple[Block, list[bytes]], lines: list[bytes]) -> None:
        """A block that was replaced must be the beginning of the one that replaced it."""
        block, before = shorter
        if lines[: len(before)] != before:
            self._findings.add(
                "ledger_forked", block.path, "the beginning of the longer file", "other entries"
            )

    def _read_blocks(self, blocks: list[tuple[Block, list[bytes]]], size: int) -> list[bytes]:
        """Grow the tree to `size` and take in what the entries say; the entries behind it."""
        beyond: list[bytes] = []
        for block, lines in blocks:
            covered = lines[: max(size - block.first, 0)]
            beyond += lines[len(covered) :]
            hashes = list(map(leaf_hash, covered))
            self._take_roots(hashes)
            start = self.tree.size
            self.tree.extend(hashes)
            for index, line in enumerate(covered, start):
                self._take(index, line, block.path)
        return beyond

    def _take_roots(self, hashes: list[bytes]) -> None:
        """Work out the roots that are wanted on the way through the next entries."""
        end = self.tree.size + len(hashes)
        while self._sizes and self._sizes[0] <= end:
            size = self._sizes.pop(0)
            if size > self.tree.size:
                grown = self.tree.copy()
                grown.extend(hashes[: size - self.tree.size])
                self.roots[size] = grown.root()

    def _take(self, index: int, line: bytes, path: Path) -> None:
        try:
            event = decode_event(line)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            self._findings.add("ledger_entry_damaged", path, f"entry {index}: an event", str(error))
            return
        self._follow(index, event)

    def _follow(self, index: int, event: Event) -> None:
        match event:
            case RunBegan(run_id=run_id):
                self.open_runs[run_id] = index
                self.dropped_runs.discard(run_id)
            case RunSealed(run_id=run_id, seal=seal, digest=digest):
                self.open_runs.pop(run_id, None)
                self._seals.setdefault(run_id, {})[seal] = digest
                self.dropped_runs.discard(run_id)
            case RunDropped(run_id=run_id):
                self._seals.pop(run_id, None)
                self.open_runs.pop(run_id, None)
                self.dropped_runs.add(run_id)
                self._tell_redaction(index, event)
            case ObjectsDropped(digests=digests):
                self.dropped_objects.update(digests)
            case AliasMoved(name=name, alias=alias):
                self._moves[name, alias] = event
            case GapFound(runs=runs):
                self.late += len(runs)
            case VersionsMade(versions=versions, late=late):
                self.late += len(versions) if late else 0
                for ref, check in versions.items():
                    self._made.setdefault(ref, check)  # what was said first holds
            case KeyRotated():
                self.rotations.append((index, event))

    def _tell_redaction(self, index: int, event: RunDropped) -> None:
        if event.rule == REDACTION:
            expected = event.digest or "a run"
            found = f"entry {index}: removed on purpose: {event.why or 'no reason given'}"
            path = self._layout.run_path(event.run_id)
            self._findings.add("redacted", path, expected, found, "note")

    def _compare(self, head: Range, blocks: list[tuple[Block, list[bytes]]]) -> None:
        """Compare the tree of the entries with the one that the head tells of."""
        if self.tree.size < head.size:
            expected = f"{head.size} entries, as the head says"
            found = f"{self.tree.size} entries"
            self._findings.add("ledger_cut", self._log.entries, expected, found)
        elif self.tree.root() != head.root() and not self._check_stamps(blocks):
            expected, found = (base64.b64encode(tree.root()).decode() for tree in (head, self.tree))
            self._findings.add("ledger_changed", self._log.entries, expected, found)

    def _check_stamps(self, blocks: list[tuple[Block, list[bytes]]]) -> bool:
        """Find the entries that are not even what they say themselves; whether there are any."""
        found = False
        for block, lines in blocks:
            for index, line in enumerate(lines, block.first):
                try:
                    unstamp(line + b"\n")
                except IntegrityError as error:
                    expected = f"entry {index}: content that matches its check"
                    self._findings.add("ledger_entry_changed", block.path, expected, str(error))
                    found = True
        return found

    def _check_beyond(self, beyond: list[bytes], waiting: set[bytes]) -> None:
        """Entries that no head covers are what a crash left, if their events still wait."""
        if beyond and waiting.issuperset(beyond):
            found = f"{len(beyond)} entries that it does not cover yet; their events still wait"
            self._findings.add(
                "ledger_unfinished", self._log.entries, "a head that covers all", found, "note"
            )
        elif beyond:
            found = f"{len(beyond)} entries more, and no event that waits explains them"
            self._findings.add("ledger_beyond_head", self._log.entries, "as the head says", found)

    def _check_seals(self) -> None:
        """Every seal in the ledger must be there, and what it seals, unless its run was dropped."""
        for run_id, seals in self._seals.items():
            directory = self._layout.run_path(run_id)
            with self._findings.reading("seal_damaged", directory):
                files = self._layout.run_files(run_id)
                there = {file.name: file for file in files.seals}
                for name, digest in seals.items():
                    seal = there.get(name)
                    if seal is None:
                        expected = f"{digest}, as the ledger says"
                        self._findings.add("seal_missing", directory / name, expected, "nothing")
                    elif self._is_as_closed(seal, digest) and self._runs is not None:
                        self._runs.check_seal(seal, files.journals)
                if self._runs is not None:
                    self._runs.check_cover(files)

    def _check_open_runs(self) -> None:
        """Of a run that began something must be there, unless it came to nothing."""
        for run_id, index in self.open_runs.items():
            if not self._layout.has_run(run_id):
                found = "nothing: it came to no first record, or it was removed"
                path = self._layout.run_path(run_id)
                self._findings.add("run_missing", path, f"entry {index}: it began", found, "note")

    def _check_aliases(self) -> None:
        """Of every alias the last move must be there, and no fact that no move made."""
        facts = self._read_facts()
        done = {(fact.name, fact.alias, fact.version, fact.move) for fact in facts.values()}
        for (name, alias), move in self._moves.items():
            if (name, alias, move.version, move.move) not in done:
                self._tell_lost(move, facts)
        if self._runs is not None:  # else it was told already
            check_unrecorded(self._layout, self._findings, Standing({}, facts), set())

    def _tell_lost(self, move: AliasMoved, facts: Collection[Path]) -> None:
        """Tell of a move that is in none of the `facts`, unless a damaged one was told."""
        found = LocalVersions(self._layout).listing(move.name)
        path_of = partial(fact_path, self._layout.artifacts / move.name, move.alias)
        paths = map(path_of, found.facts.get(move.alias, []))
        if all(path in facts or not os.path.lexists(path) for path in paths):
            expected = f"{move.alias} at v{move.version}, as the ledger says"
            path = path_of(found.last(move.alias) + 1)
            self._findings.add("alias_missing", path, expected, "nothing")

    def _read_facts(self) -> dict[Path, AliasFact]:
        """The facts about all aliases; only about those that moved where the rest was checked."""
        names, findings = {name for name, _ in self._moves}, Findings(self._layout)
        if self._runs is not None:
            names.update(LocalVersions(self._layout).names())
            findings = self._findings
        facts: dict[Path, AliasFact] = {}
        for name in sorted(names):
            facts |= read_facts(self._layout, findings, name)
        return facts

    def _check_versions(self) -> None:
        """Of every version that the ledger heard of the file must be there, as it was made."""
        for ref, check in self._made.items():
            try:
                name, number, _ = parse_reference(ref)
            except UsageError as error:
                found = str(error)
                self._findings.add("ledger_entry_damaged", self._log.entries, "a version", found)
            else:
                self._check_version(version_path(self._layout.artifacts / name, number or 0), check)

    def _check_version(self, path: Path, check: str) -> None:
        expected = f"check {check}, as the ledger says"
        try:
            found = load_version(path).check
        except FileNotFoundError:
            self._findings.add("version_missing", path, expected, "nothing")
        except (IntegrityError, OSError):
            if self._runs is not None:  # else it was told already
                with self._findings.reading("version_damaged", path):
                    raise
        else:
            if found != check:
                self._findings.add("version_changed", path, expected, f"check {found}")

    def _is_as_closed(self, seal: RunFile, digest: str) -> bool:
        """Whether the seal is the one that the ledger names; if not, that is told."""
        with self._findings.reading("seal_missing", seal.path):
            found = f"sha256:{hashlib.sha256(seal.read()).hexdigest()}"
            if found == digest:
                return True
            expected = f"{digest}, as the ledger says"
            self._findings.add("seal_changed", seal.path, expected, found)
        return False
