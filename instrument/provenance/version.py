"""Which version of the loader measured: the digest of its own source, and the commit of that."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from instrument import __version__
from instrument.artifacts.trees import listing
from instrument.capture.repository import find_repository, read_head
from instrument.vocabulary import File

_SOURCE: Final = Path(__file__).resolve().parent


@cache
def loader_version() -> str:
    """``sha256:<hex>+<commit>``, or the version of the package where it is installed.

    The digest is what ``sha256sum *.py | sha256sum`` prints in the loader's own directory.
    """
    files = [_identified(path) for path in sorted(_SOURCE.glob("*.py"))]
    return f"sha256:{hashlib.sha256(listing(files)).hexdigest()}+{_commit() or __version__}"


def _identified(path: Path) -> File:
    data = path.read_bytes()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return File(path=path.name, digest=digest, size_bytes=len(data))


def _commit() -> str | None:
    """The commit of a checkout; what is installed lies in somebody else's repository at most."""
    if {"site-packages", "dist-packages"} & set(_SOURCE.parts):
        return None
    repository = find_repository(_SOURCE)
    head = read_head(repository) if repository is not None else None
    return head.commit if head is not None else None
