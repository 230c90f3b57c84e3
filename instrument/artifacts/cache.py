"""Artifacts as readable paths in the user's cache directory: symlinks into the store, or copies.

``artifacts/<hex of the digest>/<name>`` and ``copies/…``: nothing here is the only copy of
anything, and what is found is checked before it is handed out, so the directory can be deleted at
any time.
"""

import os
import tempfile
from pathlib import Path

from instrument.artifacts.checkout import holds_content, make
from instrument.errors import InstrumentError, StoreError
from instrument.protocols import Store
from instrument.vocabulary import ArtifactVersion


def cached(store: Store, version: ArtifactVersion, *, linked: bool) -> Path:
    """A path with the content of `version`, verified.

    Args:
        store: The store that has it.
        version: The version.
        linked: Make symlinks to the store's own files, which must not be written to. False: a copy.

    Raises:
        IntegrityError: The content is damaged.
        StoreError: It could not be read, or the cache cannot be written.
    """
    own_name = version.name if version.is_tree else Path(version.files[0].path).name
    kind = "artifacts" if linked else "copies"
    target = cache_directory() / kind / version.digest.partition(":")[2] / own_name
    if os.path.lexists(target):
        if holds_content(target, version):
            return target
        _remove(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{target.parent} cannot be made: {error.strerror}; set XDG_CACHE_HOME"
        ) from error
    try:
        make(store, version, target, linked=linked)
    except InstrumentError:  # another process may have been faster
        if not (os.path.lexists(target) and holds_content(target, version)):
            raise
    return target


def cache_directory() -> Path:
    """``instrument`` in the user's cache directory."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "instrument"


def _remove(target: Path) -> None:
    """Take away what is no longer whole; readers that have it open keep it."""
    try:
        with tempfile.TemporaryDirectory(prefix=".instrument-", dir=target.parent) as scratch:
            target.rename(Path(scratch, "old"))
    except FileNotFoundError:
        return  # another process did
    except OSError as error:
        raise StoreError(f"{target} cannot be removed: {error.strerror}; remove it") from error
