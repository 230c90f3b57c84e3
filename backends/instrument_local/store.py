"""The local store: joins the parts into what `instrument.protocols.Store` asks for."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from instrument.errors import NotFoundError, StoreError
from instrument.naming import LATEST, Reference, check_run_id
from instrument.protocols import Clock, Draft, Packing, Store, Usage, Verification
from instrument.records import FORMAT_VERSION, Entry, ProcessStarted
from instrument.summary import RunSummary
from instrument.vocabulary import ArtifactVersion, File
from instrument_local.copying import Told, nobody
from instrument_local.files import Disk, store_errors
from instrument_local.flusher import flusher
from instrument_local.journal import Journal
from instrument_local.layout import Layout
from instrument_local.ledger.queue import is_long
from instrument_local.liveness import Markers
from instrument_local.mounts import mount_of
from instrument_local.objects import LocalObjects
from instrument_local.summaries import Summaries
from instrument_local.versions import LocalVersions

if TYPE_CHECKING:
    from instrument.protocols.repair import Repair
    from instrument.query import Condition
    from instrument_local.bundles.local import LocalBundles
    from instrument_local.index import Index
    from instrument_local.ledger.local import LocalLedger
    from instrument_local.upkeep.local import LocalUpkeep

_SHOWN = 5


def _told_id(layout: Layout) -> str | None:
    from instrument_local.ledger.store_ids import told_store_id

    return told_store_id(layout)


class LocalStore:
    """A store in a directory (see `instrument.protocols.Store`).

    Args:
        path: The directory; made on the first write, not here.
        clock: The time.
        disk: The calls that change the disk; tests put faults in their place.

    Raises:
        StoreVersionError: A newer version wrote the store.
        StoreError: `path` cannot be read, or its FORMAT is damaged.
    """

    def __init__(self, path: Path, clock: Clock, disk: Disk | None = None) -> None:
        self._clock = clock
        self._layout = Layout(path.absolute(), clock, disk or Disk(), _told_id)
        self._objects = LocalObjects(self._layout)
        self._versions = LocalVersions(self._layout)
        self._markers = Markers(self._layout)
        self._summaries = Summaries(self._layout, self._markers)
        self._begun: set[str] = set()

    @property
    def location(self) -> str:
        """See `instrument.protocols.Store`."""
        return str(self._layout.root)

    def put_bytes(self, data: bytes) -> str:
        """See `instrument.protocols.Objects`."""
        return self._objects.put_bytes(data)

    def put_file(self, path: Path) -> File:
        """See `instrument.protocols.Objects`."""
        return self._objects.put_file(path)

    def put_files(self, paths: Sequence[str | Path], told: Told | None = None) -> list[File]:
        """See `instrument.protocols.Objects`."""
        return self._objects.put_files(paths, told)

    def identify(self, path: Path) -> File:
        """See `instrument.protocols.Objects`."""
        return self._objects.identify(path)

    def get_bytes(self, digest: str) -> bytes:
        """See `instrument.protocols.Objects`."""
        return self._objects.get_bytes(digest)

    def open(self, digest: str) -> BinaryIO:
        """See `instrument.protocols.Objects`."""
        return self._objects.open(digest)

    def contains(self, digest: str) -> bool:
        """See `instrument.protocols.Objects`."""
        return self._objects.contains(digest)

    def path_of(self, digest: str) -> Path | None:
        """See `instrument.protocols.Objects`."""
        return self._objects.path_of(digest)

    def claim(self, draft: Draft, why: str | None = None) -> ArtifactVersion:
        """See `instrument.protocols.Versions`."""
        return self._versions.claim(draft, why)

    def resolve(self, reference: Reference) -> ArtifactVersion:
        """See `instrument.protocols.Versions`."""
        return self._versions.resolve(reference)

    def tag(
        self, reference: Reference, alias: str, at: datetime, why: str | None = None
    ) -> ArtifactVersion:
        """See `instrument.protocols.Versions`."""
        return self._versions.tag(reference, alias, at, why)

    def artifacts(self, name: str | None = None) -> Iterator[ArtifactVersion]:
        """See `instrument.protocols.Versions`."""
        return self._versions.artifacts(name)

    def begin(self, process: ProcessStarted) -> Journal:
        """See `instrument.protocols.Store`."""
        self._begun.add(check_run_id(process.run_id))
        journal = Journal(self._layout, self._markers, self._clock, process)
        flusher.watch(journal)
        return journal

    def is_open(self, run_id: str) -> bool:
        """See `instrument.protocols.Store`."""
        return self._markers.alive(run_id)

    def seal(self, run_id: str) -> RunSummary:
        """See `instrument.protocols.Store`."""
        try:
            summary = self._summaries.seal(run_id)
        except NotFoundError as error:
            if run_id not in self._begun:
                raise
            raise StoreError(f"run {run_id} cannot be sealed: none of it was written") from error
        self._begun.discard(run_id)
        if is_long(self._layout):
            self.ledger.integrate_some()
        return summary

    def runs(self, where: "Condition | None" = None, limit: int | None = None) -> list[RunSummary]:
        """See `instrument.protocols.Catalogue`."""
        return self._index.runs(where, limit)

    def run(self, selector: str) -> RunSummary:
        """See `instrument.protocols.Catalogue`."""
        if selector == LATEST:
            newest = self.runs(limit=1)
            if not newest:
                raise NotFoundError("there is no run yet")
            return newest[0]
        with store_errors(f"look for run {selector}"):
            run_id = self._run_id(selector)
        return self._summaries.read(run_id).summary

    def entries(self, run_id: str) -> Iterator[Entry]:
        """See `instrument.protocols.Catalogue`."""
        return self._summaries.entries(run_id)

    @property
    def ledger(self) -> "LocalLedger":
        """See `instrument.protocols.ledger.HasLedger`."""
        from instrument_local.ledger.local import LocalLedger

        return LocalLedger(self._layout)

    def enter_beginning(self, run_id: str, attempt: int) -> None:
        """See `instrument.protocols.ledger.Auditing`."""
        from instrument_local.ledger.required import enter_beginning

        enter_beginning(self._layout, run_id, attempt)

    def enter_seal(self, run_id: str) -> None:
        """See `instrument.protocols.ledger.Auditing`."""
        from instrument_local.ledger.required import enter_seal

        enter_seal(self._layout, run_id)

    @property
    def bundles(self) -> "LocalBundles":
        """See `instrument.protocols.bundles.HasBundles`."""
        from instrument_local.bundles.local import LocalBundles

        return LocalBundles(self._layout, self._clock, self._summaries, self._versions)

    @property
    def upkeep(self) -> "LocalUpkeep":
        """See `instrument.protocols.upkeep.HasUpkeep`."""
        from instrument_local.upkeep.local import LocalUpkeep

        return LocalUpkeep(self._layout, self._versions, self._markers, self._summaries, self.runs)

    def verify(self, selector: str | None = None, told: Told | None = None) -> Verification:
        """See `instrument.protocols.Store`.

        Raises:
            NotFoundError: `selector` is neither a run nor an artifact.
        """
        from instrument_local.verify import Verifier

        verifier = Verifier(self._layout, self._versions, told or nobody)
        if selector is None:
            verifier.check_everything()
        elif ":" in selector:
            verifier.check_artifact(selector)
        else:
            verifier.check_run(self._run_id(selector))
        return verifier.result()

    def changed_files(self, run_id: str) -> tuple[str, ...]:
        """See `instrument.protocols.sealing.Sealing`."""
        from instrument_local.verify_runs import changed_files

        return changed_files(self._layout, run_id)

    def repair(
        self, *, dry_run: bool = False, why: str | None = None, sources: Sequence[Path] = ()
    ) -> "Repair":
        """See `instrument.protocols.repair.Repairs`."""
        from instrument_local.repair.repairer import Repairer

        repairer = Repairer(self._layout, self.verify)
        return repairer.repair(dry_run=dry_run, why=why, sources=sources)

    def pack(self, *, everything: bool = False, why: str | None = None) -> Packing:
        """See `instrument.protocols.Packs`."""
        from instrument_local.packs.moving import Packer

        packer = Packer(self._layout, self._markers, self._summaries, why)
        return packer.pack(everything=everything)

    def unreadable(self) -> dict[str, str]:
        """See `instrument.protocols.packing.Packs`."""
        return self._index.unreadable()

    def usage(self) -> Usage:
        """See `instrument.protocols.Packs`."""
        from instrument_local.usage import types_of, usage_of

        loose = set(self._layout.loose_run_ids())
        packed = set(self._layout.packs.run_ids())
        return Usage(
            runs=len(loose | packed),
            packed_runs=len(packed - loose),
            parts=usage_of(self._layout),
            artifacts=types_of(self.artifacts()),
        )

    def info(self) -> Mapping[str, Any]:
        """See `instrument.protocols.Store`."""
        from instrument_local.repair.spools import Spools

        mount = mount_of(self._layout.root)
        index = self._index.path()
        objects = [path.lstat().st_size for path in self._layout.objects.glob("??/*")]
        return {
            "kind": "local",
            "format": None if self._layout.lacks_format() else FORMAT_VERSION,
            "store_id": self._layout.store_id,
            "runs": sum(1 for _ in self._layout.run_ids()),
            "objects": len(objects),
            "objects_size_bytes": sum(objects),
            "artifacts": len(self._versions.names()),
            "file_system": mount.kind,
            "mount_options": mount.options,
            "is_network": mount.is_network,
            "mount_advice": mount.advice,
            "index": str(index) if index else None,
            "spools": Spools(self._layout, ()).found(),
        }

    @cached_property
    def _index(self) -> "Index":
        from instrument_local.index import Index

        return Index(self._layout, self._markers, self._summaries)

    def _run_id(self, selector: str) -> str:
        """The id that `selector` is, or is the unique beginning of."""
        if selector == LATEST:
            return self.run(LATEST).id
        if self._layout.has_run(selector):
            return selector
        ids = self._index.run_ids(selector) if selector.isascii() else []
        if len(ids) == 1:
            return ids[0]
        what = f"{len(ids)} runs start" if ids else "no run starts"
        more = f": {', '.join(ids[:_SHOWN])}" if ids else "; `instrument runs list` shows them"
        raise NotFoundError(f"{what} with {selector!r}{more}")


def _check(store: LocalStore) -> Store:
    """A static check: a `LocalStore` is a `Store`."""
    return store
