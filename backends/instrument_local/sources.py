"""Files of the user's that are to be stored: what they are like, and whether a change will show."""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

from instrument.errors import NotFoundError
from instrument_local.hashes import Key, key_of, look
from instrument_local.mounts import Mount, mount_of

READ_SOURCE: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe must not make us wait

StrPath: TypeAlias = str | Path


class Sources:
    """Looks at files, and remembers which file systems they lie on."""

    def __init__(self) -> None:
        self._mounts: dict[int, Mount] = {}  # by device
        self._local: set[int] = set()  # those of them that are no network

    def keys_and_sizes(self, paths: Sequence[StrPath]) -> tuple[list[Key], list[int]]:
        """Of every source what `status` says."""
        keys, sizes = [], []
        local = self._local
        for path in paths:
            try:
                status = os.stat(path)  # noqa: PTH116 - faster, for ten thousands of files
            except (OSError, ValueError):
                status = self.status(path)
            if status.st_dev not in local or not stat.S_ISREG(status.st_mode):
                status = self.status(path)
            keys.append(key_of(status))
            sizes.append(status.st_size)
        return keys, sizes

    def status(self, path: StrPath) -> os.stat_result:
        """What a source is like now.

        Raises:
            NotFoundError: It is no regular file.
        """
        try:
            status = os.stat(path)  # noqa: PTH116 - takes a str too
            if self._mount(path, status.st_dev).is_network and stat.S_ISREG(status.st_mode):
                # To open a file is what makes a network file system ask its server.
                with suppress(OSError):
                    os.close(os.open(path, READ_SOURCE))
                status = os.stat(path)  # noqa: PTH116 - as above
        except (FileNotFoundError, NotADirectoryError, ValueError):
            raise NotFoundError(f"{path} does not exist; give the path of a file") from None
        if not stat.S_ISREG(status.st_mode):
            raise NotFoundError(f"{path} is no regular file; give the path of a file")
        return status

    def look(self, fd: int, path: StrPath) -> tuple[os.stat_result, bool]:
        """As `instrument_local.hashes.look`, at the source at `path`, which is about to be read."""
        status, will_show = look(fd)
        return status, will_show and self._mount(path, status.st_dev).stamps_mapped_writes

    def _mount(self, path: StrPath, device: int) -> Mount:
        known = self._mounts.get(device)
        if known is None:
            known = self._mounts[device] = mount_of(Path(path))
            if not known.is_network:
                self._local.add(device)
        return known
