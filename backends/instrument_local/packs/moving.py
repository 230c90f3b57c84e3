"""Moves runs that are final into packs: ``instrument store pack``.

First the pack is there, durable and read back; then the event is noted; then what it holds is
removed, file by file. Whatever stops it, each run can be read, and the next time it goes on.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from instrument.audit import Packed
from instrument.errors import InstrumentError
from instrument.protocols import Packing
from instrument_local.files import store_errors
from instrument_local.layout import Layout
from instrument_local.ledger.pending import note, this_user
from instrument_local.liveness import Markers, server_time
from instrument_local.maintenance import Maintenance, maintenance
from instrument_local.packs.check import digest_of
from instrument_local.packs.contents import MAX_RATIO, Member, can_be_packed
from instrument_local.packs.shelf import ENDING
from instrument_local.packs.writing import GROUP_BYTES, Packable, write_pack
from instrument_local.packs.zstd import deflate
from instrument_local.run_files import LooseFile
from instrument_local.summaries import Seal, Summaries

PACK_BYTES: Final = 64 << 20
PACK_RUNS: Final = 10_000
# So few runs are left alone unless everything is asked for: small packs are many files again.
FEW_RUNS: Final = 16
GRACE_SECONDS: Final = 24 * 3600.0
# A journal that was not closed, and that nobody has written to for so long, has no writer.
ABANDONED_SECONDS: Final = 7 * 24 * 3600.0


class _Run(NamedTuple):
    """A run that can be packed.

    Attributes:
        run_id: The run.
        files: Its files outside of packs.
        packed: Where each of them is in a pack already, by its path; None for the others.
    """

    run_id: str
    files: list[Packable]
    packed: set[str]

    @property
    def to_pack(self) -> list[Packable]:
        """What is in no pack yet."""
        return [each for each in self.files if each.member.path not in self.packed]


class Left(Exception):  # noqa: N818 - no error: the run stays as it is
    """A run is not packed; the message says why."""


class Packer:
    """Packs the runs of one store.

    Args:
        layout: Where the store keeps things.
        markers: Who is recording.
        summaries: Its runs.
        why: The reason, for the ledger.
    """

    def __init__(
        self, layout: Layout, markers: Markers, summaries: Summaries, why: str | None = None
    ) -> None:
        self._why = why
        self._layout = layout
        self._markers = markers
        self._summaries = summaries
        self._left: Counter[str] = Counter()
        self._packs = self._runs = self._files = self._before = self._after = 0

    def pack(self, *, everything: bool) -> Packing:
        """See `instrument.protocols.Packs`."""
        with store_errors("pack the store"), maintenance(self._layout, "pack") as held:
            grace = 0.0 if everything else GRACE_SECONDS
            for batch in self._batches(grace, 1 if everything else FEW_RUNS):
                self._pack(batch, held)
        return Packing(
            packs=self._packs,
            runs=self._runs,
            files=self._files,
            size_bytes_before=self._before,
            size_bytes_after=self._after,
            left=dict(self._left),
        )

    def is_unfinished(self, run_id: str) -> bool:
        """Whether packing the run was stopped: all that lies outside of packs is in one."""
        return self._unfinished(run_id) is not None

    def finish(self, run_id: str) -> None:
        """Go on with the packing of the run, which `is_unfinished`."""
        run = self._unfinished(run_id)
        if run is not None:
            for name in sorted({file.pack_name for file in self._layout.packs.files_of(run_id)}):
                self._note(name)
            self._remove(run)

    def _unfinished(self, run_id: str) -> _Run | None:
        now = server_time(self._layout)
        try:
            run = self._examine(run_id, now, now - ABANDONED_SECONDS)
        except (Left, InstrumentError, OSError):
            return None
        return run if run.packed and not run.to_pack else None

    def _batches(self, grace_seconds: float, few: int) -> Iterator[list[_Run]]:
        """The runs that can be packed, as many as go into a pack at a time."""
        batch: list[_Run] = []
        size = 0
        for run in self._packable(grace_seconds):
            batch.append(run)
            size += sum(each.member.size_bytes for each in run.files)
            if size >= PACK_BYTES or len(batch) == PACK_RUNS:
                yield batch
                batch, size = [], 0
        if len(batch) >= few or any(run.packed for run in batch):
            yield batch
        elif batch:
            self._left["few: pack them with --all"] += len(batch)

    def _packable(self, grace_seconds: float) -> Iterator[_Run]:
        now, alive = server_time(self._layout), self._markers.alive_run_ids()
        for run_id in sorted(self._layout.loose_run_ids()):
            if run_id in alive:
                self._left["still recording"] += 1
                continue
            try:
                yield self._examine(run_id, now - grace_seconds, now - ABANDONED_SECONDS)
            except Left as reason:
                self._left[str(reason)] += 1
            except (InstrumentError, OSError):
                self._left["damaged or unreadable: `instrument verify` tells"] += 1

    def _examine(self, run_id: str, newest: float, newest_unclosed: float) -> _Run:
        """The run, if it can be packed.

        Raises:
            Left: It cannot.
        """
        loose = [file for file in _loose(self._layout, run_id) if can_be_packed(_path(file))]
        written = max((file.path.lstat().st_mtime for file in loose), default=0.0)
        if not loose or written > newest:
            raise Left("too young: pack them with --all" if loose else "no files of ours")
        if written < newest_unclosed:
            self._summaries.seal(run_id)
            loose = [file for file in _loose(self._layout, run_id) if can_be_packed(_path(file))]
        seal = self._summaries.current_seal(run_id)
        if seal is None:
            raise Left("not sealed")
        if written >= newest_unclosed and not all(journal.closed for journal in seal.journals):
            raise Left("not closed in order: packed after a week")
        return self._surveyed(run_id, seal, loose)

    def _surveyed(self, run_id: str, seal: Seal, loose: list[LooseFile]) -> _Run:
        sealed = {journal.name: journal.sha256 for journal in seal.journals}
        there = {(f.member.path, f.member.sha256) for f in self._layout.packs.files_of(run_id)}
        files = []
        for file in loose:
            member = Member(_path(file), file.size_bytes, digest_of(file.chunks()))
            if sealed.get(file.stem, member.sha256) != member.sha256:
                raise Left("damaged or unreadable: `instrument verify` tells")
            if member.size_bytes > GROUP_BYTES and _is_bomb(file):
                raise Left("so repetitive that it cannot be told from a decompression bomb")
            files.append(Packable(file, member))
        packed = {each.member.path for each in files} & {path for path, _ in there}
        for each in files:
            if each.member.path in packed and (each.member.path, each.member.sha256) not in there:
                raise Left("another file of the same name is in a pack")
        return _Run(run_id, files, packed)

    def _pack(self, batch: list[_Run], held: Maintenance) -> None:
        contents = [each for run in batch for each in run.to_pack]
        names = {
            file.pack_name
            for run in batch
            if run.packed
            for file in self._layout.packs.files_of(run.run_id)
        }
        held.check()
        if contents:
            pack = write_pack(self._layout.files, self._layout.packs, contents)
            self._packs += 1
            self._after += pack.path.stat().st_size
            names.add(pack.path.name)
        for name in sorted(names):
            self._note(name)
        alive = self._markers.alive_run_ids()
        for run in batch:
            held.check()
            if run.run_id not in alive:
                self._remove(run)

    def _note(self, name: str) -> None:
        digest = f"sha256:{name.removesuffix(ENDING)}"
        runs = len(self._layout.packs.pack(name).run_ids)
        now = datetime.now(UTC)
        note(self._layout, Packed(at=now, who=this_user(), why=self._why, pack=digest, runs=runs))

    def _remove(self, run: _Run) -> None:
        """Remove what is packed of the run. A new attempt may write new files meanwhile."""
        disk = self._layout.files.disk
        for file, member in run.files:
            if file.path.lstat().st_size == member.size_bytes:
                disk.unlink(file.path)
                self._files += 1
                self._before += member.size_bytes
        for directory in {file.path.parent for file, _ in run.files}:
            with suppress(OSError):  # somebody else's files, or a new attempt
                disk.rmdir(directory)
                self._runs += 1
                self._remove_facts(directory)

    def _remove_facts(self, directory: Path) -> None:
        """The run's notes that it went on: what they announced is in a pack."""
        for number in range(1, len(self._layout.run_files(directory.name).seals)):
            with suppress(FileNotFoundError):
                self._layout.files.disk.unlink(directory.with_name(f"{directory.name}.{number}"))


def _loose(layout: Layout, run_id: str) -> list[LooseFile]:
    files = layout.run_files(run_id)
    return [file for file in (*files.journals, *files.seals) if isinstance(file, LooseFile)]


def _path(file: LooseFile) -> str:
    """Where `file` lies, from ``runs/`` on."""
    return "/".join(file.path.parts[-3:])


def _is_bomb(file: LooseFile) -> bool:
    return file.size_bytes > MAX_RATIO * sum(map(len, deflate(file.chunks())))
