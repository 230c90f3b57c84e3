"""Loads and reads of what the store has as an artifact: an input of the run, without being told."""

import time
import weakref
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from instrument.intercept.session import Destination
from instrument.records import ArtifactUsed, ContentIdentified
from instrument.vocabulary import ArtifactVersion, File

if TYPE_CHECKING:
    from instrument.protocols import Recorder

_FRESH_SECONDS: Final = 30.0


class _Known:
    """The versions of a store, by the digests of their files. What is new is seen later."""

    def __init__(self, versions: Iterable[ArtifactVersion]) -> None:
        self.read_at = time.monotonic()
        self._by_file: defaultdict[str, list[ArtifactVersion]] = defaultdict(list)
        for version in versions:
            for digest in {file.digest for file in version.files}:
                self._by_file[digest].append(version)

    def holding(self, content: ContentIdentified) -> list[ArtifactVersion]:
        """The versions that are `content`; else of each name the one that alone has all of it."""
        found: defaultdict[str, list[ArtifactVersion]] = defaultdict(list)
        for version in self._by_file[content.files[0].digest]:
            if _has_all(version, content.files):
                found[version.name].append(version)
        same = [one for some in found.values() for one in some if one.digest == content.digest]
        return same or [some[0] for some in found.values() if len(some) == 1]


_known: "weakref.WeakKeyDictionary[Recorder, _Known]" = weakref.WeakKeyDictionary()


def tell_inputs(
    destination: Destination, requested: str | None, content: ContentIdentified
) -> None:
    """Record which versions in the store hold what was loaded or read.

    A version that the run itself made is none of its inputs. A store that has not the bytes is not
    searched.
    """
    versions, digest = destination.versions, content.digest
    if versions is None or digest is None or not content.files:
        return
    if not destination.objects.contains(content.files[0].digest):
        return
    known = _known.get(destination.recorder)
    if known is None or time.monotonic() - known.read_at > _FRESH_SECONDS:
        known = _known[destination.recorder] = _Known(versions.artifacts())
    for version in known.holding(content):
        if version.run_id != destination.run_id:
            used = ArtifactUsed(
                ref=version.ref,
                type=version.type,
                digest=version.digest,
                requested=requested or digest,
            )
            destination.recorder.record(used)


def _has_all(version: ArtifactVersion, files: Iterable[File]) -> bool:
    """Whether `version` is a file with the same bytes, or a tree with all of `files` in it."""
    if not version.is_tree:
        return all(file.digest == version.digest for file in files)
    there = [(f"/{file.path}", file.digest) for file in version.files]
    return all(
        any(digest == file.digest and path.endswith(f"/{file.path}") for path, digest in there)
        for file in files
    )
