"""Which artifact versions hold what was loaded or read: as a whole, or as a part of a tree."""

from collections.abc import Iterable

from instrument.records import ContentIdentified
from instrument.vocabulary import ArtifactVersion, File


def holding(
    versions: Iterable[ArtifactVersion], content: ContentIdentified
) -> list[ArtifactVersion]:
    """Those of `versions` that are `content`; where none is, those that it is a part of."""
    found = [version for version in versions if holds(version, content)]
    return [version for version in found if version.digest == content.digest] or found


def holds(version: ArtifactVersion, content: ContentIdentified) -> bool:
    """Whether `version` is a file with the same bytes, or a tree with all the files in it."""
    if version.digest == content.digest:
        return True
    if not version.is_tree:
        return all(file.digest == version.digest for file in content.files)
    first = content.files[0].digest
    if not any(file.digest == first for file in version.files):
        return False
    there = [(f"/{file.path}", file.digest) for file in version.files]
    return all(_is_in(there, file) for file in content.files)


def _is_in(there: list[tuple[str, str]], file: File) -> bool:
    return any(digest == file.digest and path.endswith(f"/{file.path}") for path, digest in there)
