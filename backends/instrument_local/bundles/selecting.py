"""What goes into a bundle: the files of the runs, and the objects and versions they name."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from instrument.errors import IntegrityError, UsageError
from instrument.naming import parse_reference
from instrument.records import ArtifactLogged, ArtifactUsed, CheckpointSaved, Record
from instrument.vocabulary import ArtifactVersion, RunState
from instrument_local.bundles.contents import LeftOut
from instrument_local.bundles.writing import Source
from instrument_local.layout import Layout, RunFiles
from instrument_local.references import objects_of
from instrument_local.run_files import LooseFile, MemoryFile, RunFile
from instrument_local.summaries import Seal, Summaries, load_seal
from instrument_local.upkeep.tombstones import dropped_objects
from instrument_local.version_files import version_path
from instrument_local.versions import LocalVersions

_UNRECORDED: Final = ":unrecorded"


def references_of(record: Record) -> Iterator[str]:
    """The artifact versions that `record` names and that a store has."""
    match record:
        case ArtifactLogged(ref=ref, parents=parents):
            found: tuple[str, ...] = (ref, *parents)
        case ArtifactUsed(ref=ref) | CheckpointSaved(ref=ref):
            found = (ref,)
        case _:
            return
    for ref in found:
        if not ref.endswith(_UNRECORDED):
            yield ref


class Selection:
    """What goes along with some runs.

    Args:
        layout: Where the store keeps things.
        summaries: Its runs.
        versions: Its artifacts.
        run_ids: The runs.
        max_object_bytes: As in `instrument.protocols.bundles.Bundles.export`.

    Attributes:
        runs: The runs, sorted.
        versions: The artifact versions, by reference.
        left_out: Objects that do not go along.
        objects: How many do.
    """

    def __init__(
        self,
        layout: Layout,
        summaries: Summaries,
        versions: LocalVersions,
        run_ids: Iterable[str],
        max_object_bytes: int | None,
    ) -> None:
        self._layout = layout
        self._summaries = summaries
        self._versions = versions
        self._files: dict[str, RunFiles] = {}
        self._own: set[str] = set()  # objects that records name themselves: always brought
        self.versions: dict[str, ArtifactVersion] = {}
        self.runs = tuple(sorted(set(run_ids)))
        for run_id in self.runs:
            self._add_run(run_id)
        self._objects, self.left_out = self._choose(max_object_bytes)
        self.objects = len(self._objects)

    def sources(self, proofs: dict[str, bytes]) -> Iterator[Source]:
        """Everything, in the order of the bundle: small things that explain the others first."""
        for run_id in self.runs:
            yield from self._run_sources(run_id)
        for run_id in sorted(proofs):
            proof = MemoryFile(Path("proofs", f"{run_id}.tlog-proof"), proofs[run_id])
            yield Source(str(proof.path), proof.size_bytes, None, proof)
        for version in sorted(self.versions.values(), key=lambda each: each.ref):
            path = version_path(self._layout.artifacts / version.name, version.version or 0)
            file = LooseFile(path, lambda: None)
            yield Source(self._layout.relative(path), file.size_bytes, None, file)
        for hex_digest in sorted(self._objects):
            path = self._objects[hex_digest].path
            size = self._objects[hex_digest].size_bytes
            yield Source(self._layout.relative(path), size, hex_digest, self._objects[hex_digest])

    def _add_run(self, run_id: str) -> None:
        if self._summaries.seal(run_id).state is RunState.RUNNING:
            raise UsageError(f"run {run_id} goes on still; export it when it has ended")
        self._files[run_id] = self._layout.run_files(run_id)
        for entry in self._summaries.entries(run_id):
            self._own.update(objects_of(entry.record))
            for ref in references_of(entry.record):
                self._add_version(ref)

    def _add_version(self, ref: str) -> None:
        """Take along the version `ref`, and all that it was made from in the end."""
        waiting = [ref]
        while waiting:
            ref = waiting.pop()
            if ref not in self.versions:
                try:
                    version = self._versions.resolve(parse_reference(ref))
                except UsageError:
                    continue  # no reference: somebody else's record
                self.versions[ref] = version
                waiting += version.parents

    def _choose(self, max_object_bytes: int | None) -> tuple[dict[str, LooseFile], list[LeftOut]]:
        wanted = self._own | {
            each.digest for version in self.versions.values() for each in version.files
        }
        chosen: dict[str, LooseFile] = {}
        left_out: list[LeftOut] = []
        missing: list[str] = []
        limit = math.inf if max_object_bytes is None else max_object_bytes
        for digest in sorted(wanted):
            path = self._layout.object_path(digest)
            if path is None:
                continue
            file = self._object(path)
            try:
                size_bytes = file.size_bytes
            except FileNotFoundError:
                missing.append(digest)
                continue
            if digest not in self._own and size_bytes > limit:
                left_out.append(LeftOut(digest, "size" if limit >= 0 else "without objects"))
            else:
                chosen[path.name] = file
        left_out += self._told_missing(missing, must_be_there=limit >= 0)
        return chosen, sorted(left_out, key=lambda each: each.digest)

    def _object(self, path: Path) -> LooseFile:
        """The object at `path`, or in the trash while gc thinks it over."""
        aside, back = self._layout.trash / path.name, LooseFile(path, lambda: None)
        return LooseFile(path, lambda: LooseFile(aside, lambda: back))

    def _told_missing(self, digests: list[str], *, must_be_there: bool) -> Iterator[LeftOut]:
        """Why each object is not there: the ledger says that it was let go, or it was lost."""
        let_go = dropped_objects(self._layout) if digests else {}
        for digest in digests:
            if digest in let_go:
                yield LeftOut(digest, "not in the store")
            elif must_be_there:
                raise IntegrityError(
                    f"object {digest} is lost: it is not in the store, and nobody let it go; bring "
                    "it back with `instrument repair --from` a copy of the store, or export "
                    "--without-objects"
                )
            else:
                yield LeftOut(digest, "lost")

    def _run_sources(self, run_id: str) -> Iterator[Source]:
        files = self._files[run_id]
        seal = self._covering_seal(run_id, files)
        sealed = {journal.name: journal for journal in seal.journals}
        for file in files.facts:
            yield _source(file, file.size_bytes, None)
        for journal in files.journals:
            known = sealed[journal.stem]
            yield _source(journal, known.size_bytes, known.sha256)
        for file in files.seals:
            yield _source(file, file.size_bytes, None)

    def _covering_seal(self, run_id: str, files: RunFiles) -> Seal:
        seal = load_seal(files.seals[-1]) if files.seals else None
        if seal is None or {each.name for each in seal.journals} != {
            journal.stem for journal in files.journals
        }:
            raise IntegrityError(f"run {run_id} has no seal that covers it; export it again")
        return seal


def _source(file: RunFile, size_bytes: int, sha256: str | None) -> Source:
    path = "/".join(file.path.parts[-3:])
    return Source(f"runs/{path}", size_bytes, sha256, file)
