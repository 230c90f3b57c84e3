"""The packs of a store, and what of a run lies in them."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from instrument.errors import IntegrityError
from instrument_local.packs.pack import Pack, PackedFile

ENDING: Final = ".pack"
_NAME: Final = re.compile(r"[0-9a-f]{64}\.pack")
# A change within one tick of the file system's clock does not show in a directory's time.
_SETTLED_NS: Final = 5_000_000_000
_TIMED: Final = re.compile(r"([0-9]{8}-[0-9]{6})-[0-9a-f]{12}")
"""An id that was made for a run when it began, and the time in it (UTC)."""


class Shelf:
    """The packs in a directory. Packs never change, so what was read of one is kept.

    Args:
        directory: Where they lie; it need not exist.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._packs: dict[str, Pack] = {}
        self._listed = -1

    def names(self) -> set[str]:
        """The names of the packs that are there now."""
        try:
            modified = os.stat(self.directory).st_mtime_ns  # noqa: PTH116 - asked for each run
        except (FileNotFoundError, NotADirectoryError):
            modified, self._packs = -1, {}
        if modified != self._listed:
            settled = time.time_ns() - modified > _SETTLED_NS
            self._list()
            self._listed = modified if settled else -2
        return set(self._packs)

    def pack(self, name: str) -> Pack:
        """The pack `name`, which was there."""
        return self._packs.get(name) or Pack(self.directory / name)

    def packs(self) -> list[Pack]:
        """The packs that are there now, by name."""
        return [self._packs[name] for name in sorted(self.names())]

    def files_of(self, run_id: str) -> list[PackedFile]:
        """All files of the run that are in packs.

        Raises:
            IntegrityError: They cannot be read.
            OSError: As above.
        """
        return [file for pack in self._holding(run_id) for file in pack.files_of(run_id)]

    def names_of(self, run_id: str) -> set[str]:
        """The names of the run's files in packs; a damaged pack is passed over.

        What was packed before the run began is not read.
        """
        timed = _TIMED.fullmatch(run_id)
        began = timed[1] if timed else ""
        found = set[str]()
        for pack in self.packs():
            with suppress(IntegrityError, OSError):
                made = time.gmtime(pack.path.stat().st_mtime)
                if time.strftime("%Y%m%d-%H%M%S", made) >= began:
                    found |= {file.name for file in pack.files_of(run_id)}
        return found

    def holds(self, run_id: str) -> bool:
        """Whether anything of the run is in a pack."""
        return any(True for _ in self._holding(run_id))

    def run_ids(self) -> Iterator[str]:
        """Ids of the runs in the packs; a damaged pack is passed over, since `verify` tells."""
        for pack in self.packs():
            try:
                yield from pack.run_ids
            except (IntegrityError, OSError):
                continue

    def _holding(self, run_id: str) -> Iterator[Pack]:
        return (pack for pack in self.packs() if pack.groups_of(run_id))

    def _list(self) -> None:
        try:
            found = {name for name in os.listdir(self.directory) if _NAME.fullmatch(name)}  # noqa: PTH208 - names are enough
        except (FileNotFoundError, NotADirectoryError):
            found = set()
        self._packs = {name: self._packs.get(name) or Pack(self.directory / name) for name in found}
