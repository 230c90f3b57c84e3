"""The proof of a restored tree: each file that differed, compared with its digest."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from instrument.capture.manifest import (
    EXECUTABLE,
    LINK,
    REGULAR,
    ChangedFile,
    Manifest,
    RedactedLines,
    path_bytes,
)


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a tree that was asked for.

    Attributes:
        directory: Where it lies.
        commit: The commit, or None.
        verified: How many files that differed from the commit are there, byte for byte as the
            record has them.
        differing: Paths that are not as the record has them.
        left_out: Paths that the record has not kept, each with the reason.
        redacted: Paths of which the record has kept all but the secrets, each with their lines.
    """

    directory: str
    commit: str | None
    verified: int
    differing: tuple[str, ...]
    left_out: dict[str, str]
    redacted: dict[str, tuple[RedactedLines, ...]]


def check(manifest: Manifest, directory: Path) -> Restored:
    """Compare the files below `directory` with the digests in `manifest`."""
    differing = [file.path for file in manifest.files if not _is_as_recorded(file, directory)]
    left_out = {each.path: each.reason for each in manifest.left_out}
    return Restored(
        directory=str(directory),
        commit=manifest.repositories[0].commit if manifest.repositories else None,
        verified=len(manifest.files) - len(differing),
        differing=tuple(differing),
        left_out=left_out,
        redacted={file.path: file.redacted for file in manifest.files if file.redacted},
    )


def _is_as_recorded(file: ChangedFile, directory: Path) -> bool:
    """Whether the file is there with its mode and bytes, or is not there when it was deleted."""
    path = directory / os.fsdecode(path_bytes(file.path))
    try:
        found = path.lstat()
        is_here = path.parent.resolve() == directory.resolve() / path.parent.relative_to(directory)
    except OSError:
        return file.mode is None
    if file.mode is None:  # a directory, or a link on the way, may have taken its place
        return stat.S_ISDIR(found.st_mode) or not is_here
    if stat.S_ISLNK(found.st_mode):
        mode, chunks = LINK, iter([os.fsencode(path.readlink())])
    elif stat.S_ISREG(found.st_mode):
        mode = EXECUTABLE if found.st_mode & stat.S_IXUSR else REGULAR
        chunks = _chunks(path)
    else:
        return False
    if not is_here:
        return False
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return mode == file.mode and f"sha256:{digest.hexdigest()}" == file.digest


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk
