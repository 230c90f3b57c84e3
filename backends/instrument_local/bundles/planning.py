"""What a bundle brings, and what each part of it is called here.

A run keeps its id unless another run here has it; an artifact version gets the next number of its
name unless its content is here under that name (docs/decisions/0009-bundles.md).
"""

import hashlib
import os
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from instrument.audit import RunDropped
from instrument.errors import InstrumentError, IntegrityError, StoreError
from instrument.protocols.bundles import ArrivingArtifact, ArrivingRun
from instrument.vocabulary import ArtifactVersion
from instrument_local.bundles.checking import Checked, in_order
from instrument_local.bundles.reading import BundledFile
from instrument_local.layout import Layout
from instrument_local.packs.check import digest_of
from instrument_local.run_files import RunFile
from instrument_local.upkeep.tombstones import dropped_runs, in_words
from instrument_local.version_evidence import VersionEvidence
from instrument_local.version_files import version_path
from instrument_local.versions import LocalVersions

if TYPE_CHECKING:
    from instrument_local.bundles.contents import Content

_TAG_LENGTH: Final = 8
_ID_LENGTH: Final = 64  # of a run, at most


class Coming(NamedTuple):
    """A run that comes.

    Attributes:
        run: What is told of it.
        files: Those of its files that are not here yet.
    """

    run: ArrivingRun
    files: list[BundledFile]


class Plan:
    """What would come, were the bundle imported now.

    Args:
        layout: Where the store keeps things.
        versions: Its artifacts.
        checked: The bundle.
        again: Whether runs come back that were removed here on purpose.

    Attributes:
        runs: The runs.
        restored: The files of versions that this store lost, by reference.
        artifacts: The artifact versions, what they were made from first.
        objects: The objects that are not here.

    Raises:
        StoreError: A run that would come was removed here on purpose, and not `again` is given.
    """

    def __init__(
        self, layout: Layout, versions: LocalVersions, checked: Checked, *, again: bool
    ) -> None:
        self._layout = layout
        self._checked = checked
        self.runs = [self._coming(run_id) for run_id in sorted(checked.runs)]
        if not again:
            self._refuse_removed()
        self.restored = dict(self._restored())
        self.artifacts = list(_artifacts(versions, checked.versions, self.restored))
        self.objects: list[Content] = [
            content for content in checked.objects if not self._has(f"sha256:{content.sha256}")
        ]

    @property
    def missing(self) -> set[str]:
        """Digests of the objects that are referred to, and neither here nor in the bundle."""
        there = {f"sha256:{content.sha256}" for content in self._checked.objects}
        return {digest for digest in self._checked.wanted - there if not self._has(digest)}

    def _has(self, digest: str) -> bool:
        path = self._layout.object_path(digest)
        return path is not None and path.is_file() and not path.is_symlink()

    def _restored(self) -> Iterator[tuple[str, BundledFile]]:
        """What this store's own bundle brings back, since its records say that it is the file."""
        found, evidence = self._layout.format, VersionEvidence(self._layout)
        if found is None or found.store_id != self._checked.bundle.manifest.origin:
            return
        files = {file.content.path: file for file in self._checked.bundle.files()}
        for version in in_order(self._checked.versions):
            path = version_path(self._layout.artifacts / version.name, version.version or 0)
            if os.path.lexists(path):
                continue
            if evidence.is_of_here(version):
                yield version.ref, files[self._layout.relative(path)]
            elif evidence.check_of(version) is not None:
                raise IntegrityError(
                    f"{version.ref} is lost here, and the bundle's may be another file; "
                    "try `instrument repair --from` a copy of the store first"
                )

    def _coming(self, run_id: str) -> Coming:
        """Under which id the run comes: the first whose run here is the same, or part of it."""
        files = [file for file in self._checked.runs[run_id] if file.content.kind != "fact"]
        theirs = {_key(file): file for file in files}
        for here in self._ids(run_id):
            found = self._layout.run_files(here)
            ours = {_key(file): file for file in (*found.journals, *found.seals)}
            if not all(_same(ours[key], theirs[key]) for key in ours.keys() & theirs.keys()):
                continue
            if ours.keys() >= theirs.keys():
                return Coming(ArrivingRun(id=run_id, here=here, change="same"), [])
            if ours.keys() <= theirs.keys():
                new = [theirs[key] for key in theirs if key not in ours]
                if ours:
                    return Coming(ArrivingRun(id=run_id, here=here, change="grown"), new)
                change: Literal["new", "conflict"] = "new" if here == run_id else "conflict"
                return Coming(ArrivingRun(id=run_id, here=here, change=change), new)
        raise AssertionError  # the last id is that of the content

    def _refuse_removed(self) -> None:
        """Refuse what somebody removed here for a reason, also under another id."""
        coming = [each for each in self.runs if each.files]
        removed = self._removed() if coming else {}
        for each in coming:
            files = self._checked.runs[each.run.id]
            seals = (f"sha256:{file.content.sha256}" for file in files if _is_seal(file))
            event = next((removed[key] for key in (each.run.here, *seals) if key in removed), None)
            if event is not None:
                there = "" if event.run_id == each.run.id else f", {each.run.id} in the bundle,"
                raise StoreError(
                    f"run {event.run_id}{there} was removed {in_words(event)}; "
                    "nothing is imported; --again brings it back all the same"
                )

    def _removed(self) -> dict[str, RunDropped]:
        """How runs were removed, by their ids and by the digests of their last seals."""
        try:
            by_id = dropped_runs(self._layout)
        except InstrumentError as error:
            raise type(error)(
                f"{error}; so what was removed here is not known; --again imports all the same"
            ) from error
        return {event.digest: event for event in by_id.values() if event.digest} | by_id

    def _ids(self, run_id: str) -> Iterator[str]:
        """The ids that a run can have here; the same ones at each import of it."""
        start = run_id[: _ID_LENGTH - _TAG_LENGTH - 1]
        yield from self._at_home(run_id)
        yield run_id
        yield f"{start}-{_tag(self._checked.bundle.manifest.origin)}"
        content = sorted(file.content.sha256 for file in self._checked.runs[run_id])
        number = 0
        while True:  # an id that is taken by something else, on purpose
            yield f"{start}-{_tag(' '.join(content) + str(number))}"
            number += 1

    def _at_home(self, run_id: str) -> list[str]:
        """The ids of runs that are here, under which this store recorded files of the run."""
        home, origins = self._layout.store_id, self._checked.origins[run_id]
        found = filter(None, map(origins.of, self._checked.runs[run_id]))
        ids = {each.run_id for each in found if each.origin == home}
        return sorted(filter(self._layout.has_run, ids))


def _key(file: RunFile) -> tuple[str, str]:
    """Month and name: what tells the files of a run apart."""
    return file.path.parent.parent.name, file.name


def _is_seal(file: BundledFile) -> bool:
    return file.content.kind == "seal"


def _same(ours: RunFile, theirs: BundledFile) -> bool:
    if ours.size_bytes != theirs.size_bytes:
        return False
    return digest_of(ours.chunks()) == theirs.content.sha256


def _tag(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_TAG_LENGTH]


def _artifacts(
    versions: LocalVersions, arriving: dict[str, ArtifactVersion], restored: Collection[str]
) -> Iterator[ArrivingArtifact]:
    """What each version will be called here, unless somebody makes versions meanwhile."""
    known: dict[str, dict[str, int]] = {}
    highest: dict[str, int] = {}
    for version in in_order(arriving):
        name = version.name
        if name not in known:
            back = [arriving[ref] for ref in restored if arriving[ref].name == name]
            numbers = [*versions.listing(name).versions, *(each.version or 0 for each in back)]
            highest[name] = max(numbers, default=0)
            there = [*versions.artifacts(name), *back]
            there.sort(key=lambda each: -(each.version or 0))
            known[name] = {each.digest: each.version or 0 for each in there}
        is_new = version.digest not in known[name]
        if is_new:
            highest[name] += 1
            known[name][version.digest] = highest[name]
        here = f"{name}:v{known[name][version.digest]}"
        is_restored = version.ref in restored
        yield ArrivingArtifact(ref=version.ref, here=here, is_new=is_new, is_restored=is_restored)
