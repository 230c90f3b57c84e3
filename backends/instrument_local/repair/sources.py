"""Who else has the bytes of an object that is lost: the quarantine, tmp/, what the user names."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from instrument.errors import InstrumentError
from instrument_local.files import read_file
from instrument_local.layout import Layout
from instrument_local.objects import LocalObjects
from instrument_local.quarantine import NAME


class Sources:
    """Places to look for lost bytes.

    Args:
        layout: The store.
        named: Files and directories that the user names; copies of stores are looked up by digest.
    """

    def __init__(self, layout: Layout, named: Sequence[Path]) -> None:
        self._objects = LocalObjects(layout)
        self._named = [path.absolute() for path in named]
        self._own = [layout.root / "tmp", layout.root / NAME]

    def find(self, digests: set[str]) -> dict[str, Path]:
        """For each of `digests` a file that holds it, where there is one."""
        found: dict[str, Path] = {}
        for path in self._candidates(digests):
            if len(found) == len(digests):
                break
            with suppress(InstrumentError, OSError):
                digest = self._objects.identify(path).digest
                if digest in digests:
                    found.setdefault(digest, path)
        return found

    def copies(self, name: str) -> Iterator[tuple[Path, bytes]]:
        """The files that the copies of stores have as `name`, and what is in them."""
        for place in self._named:
            for path in place.rglob(name):
                with suppress(OSError):
                    yield path, read_file(path)

    def _candidates(self, digests: set[str]) -> Iterator[Path]:
        if not digests:
            return
        for place in self._named:
            for digest in digests:
                name = digest.removeprefix("sha256:")
                yield place / "objects" / name[:2] / name
        for place in (*self._named, *self._own):
            yield place
            for directory, _, names in os.walk(place):
                yield from (Path(directory, name) for name in names)
