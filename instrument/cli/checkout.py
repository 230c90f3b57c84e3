"""Copies an artifact out of the store: verified, whole or not at all, over nothing."""

import shutil
import tempfile
from pathlib import Path, PurePosixPath

from instrument.errors import IntegrityError, StoreError, UsageError
from instrument.protocols import Store
from instrument.records import ArtifactVersion, File


def check_out(store: Store, version: ArtifactVersion, output: Path | None) -> Path:
    """Copy `version` to `output` and return where it lies.

    Args:
        store: The store that has it.
        version: The artifact version.
        output: The file or directory to make; a file that is given an existing directory goes into
            it. None: the artifact's own name, in the working directory.

    Raises:
        UsageError: Something is there already.
        IntegrityError: The content is damaged, or a file's path leads outside.
        StoreError: It could not be read or written.
    """
    target = _target(version, output)
    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} exists; give another path with -o, or remove it")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is no directory; make it first")
    try:
        with tempfile.TemporaryDirectory(prefix=".instrument-", dir=target.parent) as scratch:
            made = Path(scratch, "content")
            _copy(store, version, made)
            made.rename(target)
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{target} cannot be written: {error.strerror or error}") from error
    return target


def _target(version: ArtifactVersion, output: Path | None) -> Path:
    own_name = version.name if version.is_tree else Path(version.files[0].path).name
    if output is None:
        return Path(own_name)
    return output / own_name if output.is_dir() and not version.is_tree else output


def _copy(store: Store, version: ArtifactVersion, made: Path) -> None:
    if not version.is_tree:
        _copy_file(store, version.files[0], made)
        return
    made.mkdir()
    for file in version.files:
        path = made / _inside(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        _copy_file(store, file, path)


def _copy_file(store: Store, file: File, path: Path) -> None:
    with store.open(file.digest) as source, path.open("xb") as copy:
        shutil.copyfileobj(source, copy, 1 << 20)


def _inside(file: File) -> PurePosixPath:
    """The file's path, which must not lead out of the artifact."""
    path = PurePosixPath(file.path)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise IntegrityError(f"{file.path!r} leads outside the artifact; nothing was written")
    return path
