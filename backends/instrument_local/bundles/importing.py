"""``instrument import``: what a bundle holds comes into the store.

What is referred to is there first: objects, then versions, then the runs, which appear at once with
the pack that holds them, then the event. Whatever stops it, the next import goes on.
"""

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from instrument.audit import Imported as ImportedEvent, ObjectsDropped
from instrument.errors import StoreError
from instrument.naming import LATEST
from instrument.protocols import Draft
from instrument.protocols.bundles import Import
from instrument.vocabulary import ArtifactVersion
from instrument_local.bundles.checking import Checked, in_order
from instrument_local.bundles.contents import Content
from instrument_local.bundles.planning import Coming, Plan
from instrument_local.bundles.reading import BundledFile
from instrument_local.copying import Told
from instrument_local.files import store_errors, write_all
from instrument_local.hashes import HashCache
from instrument_local.imported import Imported
from instrument_local.ingest import Ingest, make_read_only
from instrument_local.layout import Layout
from instrument_local.ledger.local import LocalLedger
from instrument_local.ledger.pending import note, note_versions, this_user
from instrument_local.maintenance import maintenance
from instrument_local.packs.contents import Member
from instrument_local.packs.writing import Packable, write_pack
from instrument_local.run_files import MemoryFile, RunFile
from instrument_local.stamps import stamp
from instrument_local.upkeep.tombstones import LEFT_OUT
from instrument_local.versions import LocalVersions

PACK_BYTES: Final = 64 << 20
_WAIT_SECONDS: Final = 120.0
_DIGESTS_AN_EVENT: Final = 1000


class Importer:
    """Takes in one bundle.

    Args:
        layout: Where the store keeps things.
        versions: Its artifacts.
        checked: The bundle, which was checked.
        why: The reason, for the ledger.
        again: See `instrument_local.bundles.planning.Plan`.
    """

    def __init__(
        self,
        layout: Layout,
        versions: LocalVersions,
        checked: Checked,
        why: str | None,
        *,
        again: bool,
    ) -> None:
        self._layout = layout
        self._versions = versions
        self._checked = checked
        self._why = why
        self._again = again
        self._origin = checked.bundle.manifest.origin

    def take_in(self, told: Told) -> Import:
        """See `instrument.protocols.bundles.Bundles.import_`."""
        checked, layout = self._checked, self._layout
        with store_errors(f"import {checked.bundle.path}"):
            before = Plan(layout, self._versions, checked, again=self._again)
            self._check_space(before.objects)
            layout.create()
            self._bring_objects(checked.objects, told)
            with maintenance(layout, "import", wait_seconds=_WAIT_SECONDS):
                plan = Plan(layout, self._versions, checked, again=self._again)
                self._bring_objects(plan.objects, told)  # gc may have been here meanwhile
                self._tell_missing(plan.missing)
                names = self._bring_versions(plan)
                self._bring_runs(plan.runs, names)
                self._tell(plan)
        return tell(checked, plan, before.objects)

    def _check_space(self, objects: Iterable[Content]) -> None:
        needed = sum(content.size_bytes for content in objects)
        there = next(
            path for path in (self._layout.root, *self._layout.root.parents) if path.is_dir()
        )
        free = shutil.disk_usage(there).free
        if needed > free:
            raise StoreError(
                f"{self._checked.bundle.path} holds {needed} bytes of objects, and {free} are "
                f"free in {there}; make room, or export with --max-object-size"
            )

    def _bring_objects(self, objects: Iterable[Content], told: Told) -> None:
        ingest = Ingest(self._layout, HashCache())
        directories: set[Path] = set()
        for content in objects:
            if not ingest.has_good(f"sha256:{content.sha256}"):
                directories |= self._bring_object(ingest, self._checked.bundle.file(content))
            told(content.size_bytes)
        for directory in sorted(directories):
            self._layout.files.sync_directory(directory)

    def _bring_object(self, ingest: Ingest, file: BundledFile) -> set[Path]:
        files = self._layout.files
        fd, temporary = files.temporary()
        with files.discarding(temporary):
            try:
                for chunk in file.chunks():  # raises when they are not what they should be
                    write_all(files.disk, fd, chunk)
                make_read_only(fd)
                files.sync(fd)
            finally:
                files.disk.close(fd)
            return ingest.place(temporary, f"sha256:{file.content.sha256}")

    def _bring_versions(self, plan: Plan) -> dict[str, str]:
        """Make the versions; what each is called here, where it has another name there."""
        now = datetime.now(UTC)
        for file in plan.restored.values():
            self._restore(file)
        new = Counter(each.here.partition(":")[0] for each in plan.artifacts if each.is_new)
        for name, more in sorted(new.items()):
            if not self._is_theirs(name):
                self._versions.hold_latest(name, more, now)
        names = {each.run.id: each.run.here for each in plan.runs}
        made: dict[str, str] = {}
        for version in in_order(self._checked.versions):
            here, is_new = self._versions.adopt(self._draft(version, names))
            names[version.ref] = here.ref
            if is_new:
                made[here.ref] = str(here.check)
        note_versions(self._layout, made, self._why)
        return {there: here for there, here in names.items() if there != here}

    def _restore(self, file: BundledFile) -> None:
        """Put the file of a version back, as it was."""
        path = self._layout.root / file.content.path
        self._layout.files.make_durable_directory(path.parent)
        if not self._layout.files.publish(path, file.read()):
            raise StoreError(f"{path} was made by somebody else meanwhile; import again")

    def _is_theirs(self, name: str) -> bool:
        """Whether ``latest`` is a version that the same store brought: then it may go on."""
        found = self._versions.artifacts(name)
        latest = next((each for each in found if LATEST in each.aliases), None)
        return latest is not None and (latest.origin or "").startswith(f"{self._origin}/")

    def _draft(self, version: ArtifactVersion, names: dict[str, str]) -> Draft:
        fields = msgspec.structs.asdict(version)
        del fields["version"], fields["aliases"], fields["check"]
        fields["parents"] = tuple(names.get(parent, parent) for parent in version.parents)
        fields["run_id"] = names.get(version.run_id or "", version.run_id)
        fields["origin"] = version.origin or f"{self._origin}/{version.ref}"
        return Draft(**fields)

    def _bring_runs(self, runs: Iterable[Coming], names: dict[str, str]) -> None:
        """Write packs with what is not here: each run is there as a whole, or not at all."""
        batch: list[Packable] = []
        for coming in runs:
            if coming.files:
                batch += self._arriving(coming, names)
            if sum(each.member.size_bytes for each in batch) >= PACK_BYTES:
                write_pack(self._layout.files, self._layout.packs, batch)
                batch = []
        if batch:
            write_pack(self._layout.files, self._layout.packs, batch)

    def _arriving(self, coming: Coming, names: dict[str, str]) -> Iterator[Packable]:
        """The files of the run that are not here, and facts that say where they came from."""
        here = coming.run.here
        alike: dict[tuple[str, str, str], list[BundledFile]] = {}
        for file in coming.files:
            alike.setdefault((file.month, *self._recorded(coming, file)), []).append(file)
        for (month, origin, run_id), brought in alike.items():
            fact = Imported(
                origin=origin,
                run_id=run_id,
                bundle=self._checked.digest,
                files=tuple(file.name for file in brought),
                names=self._names(coming, brought[0], names),
            )
            data = stamp(msgspec.json.encode(fact, order="sorted"))
            sha256 = hashlib.sha256(data).hexdigest()
            path = f"{month}/{here}/imported.{sha256[:16]}.json"
            yield _packable(path, MemoryFile(Path(path), data), sha256)
            for file in brought:
                yield _packable(f"{month}/{here}/{file.name}", file, file.content.sha256)

    def _recorded(self, coming: Coming, file: BundledFile) -> tuple[str, str]:
        """The store that recorded `file`, and the id of the run there."""
        origin = self._checked.origins[coming.run.id].of(file)
        return (origin.origin, origin.run_id) if origin else (self._origin, coming.run.id)

    def _names(self, coming: Coming, file: BundledFile, names: dict[str, str]) -> dict[str, str]:
        """What the names in `file` mean here, by way of what they meant there."""
        origin = self._checked.origins[coming.run.id].of(file)
        there = origin.names if origin else {}
        named = {ref: names.get(ref, ref) for ref in self._checked.named[coming.run.id]}
        runs = {each: here for each, here in names.items() if ":" not in each}
        through = {first: names.get(second, second) for first, second in there.items()}
        everything = {**runs, **named, **through}
        return {before: here for before, here in sorted(everything.items()) if before != here}

    def _tell_missing(self, missing: set[str]) -> None:
        """Say before the runs come which objects do not: nobody shall take that for damage."""
        known: set[str] = set()
        for entry in LocalLedger(self._layout).entries() if missing else ():
            if isinstance(entry.event, ObjectsDropped):
                known.update(entry.event.digests)
        new = sorted(missing - known)
        for start in range(0, len(new), _DIGESTS_AN_EVENT):
            event = ObjectsDropped(
                at=datetime.now(UTC),
                who=this_user(),
                why=self._why,
                digests=tuple(new[start : start + _DIGESTS_AN_EVENT]),
                size_bytes=0,
                rule=f"{LEFT_OUT}{self._checked.digest}",
            )
            note(self._layout, event)

    def _tell(self, plan: Plan) -> None:
        """Note the import, unless an import of the same bundle was noted and nothing is new."""
        is_new = any(each.files for each in plan.runs) or any(
            each.is_new or each.is_restored for each in plan.artifacts
        )
        known = not is_new and any(
            isinstance(entry.event, ImportedEvent) and entry.event.bundle == self._checked.digest
            for entry in LocalLedger(self._layout).entries()
        )
        if not known:
            event = ImportedEvent(
                at=datetime.now(UTC),
                who=this_user(),
                why=self._why,
                bundle=self._checked.digest,
                origin=self._origin,
                runs=tuple(each.run.here for each in plan.runs),
                verified=self._checked.verified,
            )
            note(self._layout, event)


def tell(checked: Checked, plan: Plan, objects: Iterable[Content]) -> Import:
    """What the bundle brings, or brought."""
    sizes = [content.size_bytes for content in objects]
    return Import(
        digest=checked.digest,
        origin=checked.bundle.manifest.origin,
        verified=checked.verified,
        runs=tuple(each.run for each in plan.runs),
        artifacts=tuple(plan.artifacts),
        objects=len(sizes),
        size_bytes=sum(sizes),
        left_out=len(plan.missing),
    )


def _packable(path: str, file: RunFile, sha256: str) -> Packable:
    return Packable(file, Member(path, file.size_bytes, sha256))
