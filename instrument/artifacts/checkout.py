"""Artifacts as files: checked against their digests, made whole or not at all."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from instrument.artifacts.trees import files_under, listing
from instrument.canonical import ALGORITHM, digest_of_bytes
from instrument.errors import InstrumentError, IntegrityError, StoreError, UsageError
from instrument.protocols import Store
from instrument.vocabulary import ArtifactVersion, File

# Long pieces: each one costs a wait for the interpreter's lock while other threads compute.
_HASHED_BYTES: Final = 32 << 20
_COPIED_BYTES: Final = 4 << 20
_FICLONE: Final = 0x40049409  # ioctl_ficlone(2)


def check(version: ArtifactVersion) -> None:
    """Check that the files of `version` are the ones its digest names; their bytes are not read.

    Raises:
        IntegrityError: They are not, or one leads out of the artifact.
    """
    files = version.files
    found = digest_of_bytes(listing(files)) if version.is_tree else files[0].digest if files else ""
    if found != version.digest:
        raise IntegrityError(f"{version.ref} is {version.digest}, but its files are {found}")
    for file in files:
        path = PurePosixPath(file.path)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise IntegrityError(f"file {file.path!r} of {version.ref} leads out of the artifact")


def verify(store: Store, file: File) -> None:
    """Read and check the bytes of `file`.

    Raises:
        IntegrityError: They do not match its digest.
        NotFoundError: They are not there.
    """
    store.open(file.digest).close()


def copy_out(store: Store, version: ArtifactVersion, target: Path) -> Path:
    """See `instrument.artifacts.Artifact.copy_to`."""
    if os.path.lexists(target):
        if holds_content(target, version):
            return target
        raise UsageError(f"{target} exists with other content; give another path, or remove it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{target.parent} cannot be made: {error.strerror}") from error
    make(store, version, target, linked=False)
    return target


def make(store: Store, version: ArtifactVersion, target: Path, *, linked: bool) -> None:
    """Make `target`, which does not exist, hold the content of `version`.

    Args:
        store: The store that has the content.
        version: What to make; checked already.
        target: The file or directory to make; its directory exists.
        linked: Make symlinks to the store's own files where it has files, read-only copies where
            not. False: plain copies, the caller's to change.

    Raises:
        IntegrityError: The content is damaged.
        StoreError: It could not be read or written.
        UsageError: Something came to lie at `target` meanwhile.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".instrument-", dir=target.parent) as scratch:
            made = Path(scratch, "content")
            for file in version.files:
                place = made / file.path if version.is_tree else made
                place.parent.mkdir(parents=True, exist_ok=True)
                _place(store, file, place, linked=linked)
            _publish(made, target)
    except OSError as error:
        if isinstance(error, InstrumentError):
            raise
        raise StoreError(f"{target} cannot be written: {error.strerror or error}") from error


def holds_content(target: Path, version: ArtifactVersion) -> bool:
    """Whether `target` is exactly the content of `version`; every byte is read."""
    if not version.is_tree:
        return target.is_file() and _holds(target, version.files[0])
    if not target.is_dir():
        return False
    try:
        found = files_under(target)
    except InstrumentError:
        return False
    return list(found) == [file.path for file in version.files] and all(
        _holds(Path(found[file.path]), file) for file in version.files
    )


def _holds(path: Path, file: File) -> bool:
    return path.stat().st_size == file.size_bytes and _digest_of(path) == file.digest


def _digest_of(path: Path) -> str:
    sha = hashlib.new(ALGORITHM)
    buffer = memoryview(bytearray(min(_HASHED_BYTES, path.stat().st_size + 1)))
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            sha.update(buffer[:count])
    return f"{ALGORITHM}:{sha.hexdigest()}"


def _place(store: Store, file: File, place: Path, *, linked: bool) -> None:
    with store.open(file.digest) as source:  # verified before it is handed out
        lies = store.path_of(file.digest) if linked else None
        if lies is not None:
            place.symlink_to(lies.absolute())
            return
        with place.open("xb") as copy:
            if not _cloned(source, copy):
                shutil.copyfileobj(source, copy, _COPIED_BYTES)
    if linked:
        place.chmod(0o444)


def _cloned(source: BinaryIO, copy: BinaryIO) -> bool:
    """Whether `copy` now shares the blocks of `source`, where the file system can do that.

    What is written to the one does not change the other.
    """
    try:
        fcntl.ioctl(copy.fileno(), _FICLONE, source.fileno())
    except OSError:  # also `io.UnsupportedOperation`: a stream that is no file
        return False
    return True


def _publish(made: Path, target: Path) -> None:
    """Move `made` to `target` unless something is there by now."""
    if made.is_dir():
        made.rename(target)
        return
    try:
        os.link(made, target, follow_symlinks=False)
    except FileExistsError:
        raise UsageError(f"{target} exists; give another path, or remove it") from None
    except OSError:  # a file system without hard links
        made.rename(target)
