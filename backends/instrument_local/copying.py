"""Copies a file and hashes the copy, both at once; memory stays bounded at any size."""

import fcntl
import hashlib
import mmap
import os
import threading
from collections.abc import Callable
from typing import Final

from instrument_local.files import Disk, write_all

_CLONE: Final = 0x40049409  # FICLONE of linux/fs.h: share the blocks until one side changes
COPY_BYTES: Final = 8 * 1024 * 1024
"""Small, so that hashing starts early."""
HASH_BYTES: Final = 32 * 1024 * 1024
"""Large: between two of them another thread may keep the interpreter for 5 ms."""


def copy_and_hash(
    disk: Disk, source: int, target: int, sync: Callable[[int], None]
) -> tuple[str, int]:
    """Copy all of file `source` into the empty file `target`, and make it durable.

    Args:
        disk: Writes.
        source: Descriptor of a regular file.
        target: Descriptor of an empty file, to be read and written.
        sync: Makes a descriptor durable; called beside the hashing where that takes a while.

    Returns:
        SHA-256 in hex and size of the bytes that `target` then has, whoever wrote to `source`
        meanwhile.

    Raises:
        OSError: Reading or writing failed.
    """
    if not _clone(source, target):
        if os.fstat(source).st_size > COPY_BYTES:
            return _copy_beside_hashing(disk, source, target, sync)
        _copy(disk, source, target, _Progress())
    sync(target)
    size = os.fstat(target).st_size
    sha256 = hashlib.sha256()
    _hash_range(sha256, target, 0, size)
    return sha256.hexdigest(), size


class _Progress:
    """How far the copy is, told from the copying to the hashing thread."""

    def __init__(self) -> None:
        self.copied = 0
        self.error: BaseException | None = None
        self.done = False
        self._changed = threading.Condition()

    def advance(self, count: int) -> None:
        with self._changed:
            self.copied += count
            self._changed.notify()

    def finish(self, error: BaseException | None) -> None:
        with self._changed:
            self.done, self.error = True, error
            self._changed.notify()

    def wait_beyond(self, position: int) -> int:
        """Wait until more than `position` is copied, or all; how much that is."""
        with self._changed:
            self._changed.wait_for(lambda: self.done or self.copied > position)
            return self.copied


def _copy_beside_hashing(
    disk: Disk, source: int, target: int, sync: Callable[[int], None]
) -> tuple[str, int]:
    progress = _Progress()

    def copy() -> None:
        try:
            _copy(disk, source, target, progress)
            sync(target)
        except BaseException as error:
            progress.finish(error)
        else:
            progress.finish(None)

    copier = threading.Thread(target=copy, name="instrument-copy", daemon=True)
    copier.start()
    sha256 = hashlib.sha256()
    hashed = 0
    while (copied := progress.wait_beyond(hashed)) > hashed:
        _hash_range(sha256, target, hashed, copied)
        hashed = copied
    copier.join()
    if progress.error is not None:
        raise progress.error
    return sha256.hexdigest(), hashed


def _hash_range(sha256: "hashlib._Hash", fd: int, start: int, end: int) -> None:
    """Hash bytes `start` to `end` through a window: few calls, so that the GIL matters little."""
    for position in range(start - start % mmap.ALLOCATIONGRANULARITY, end, HASH_BYTES):
        length = min(HASH_BYTES, end - position)
        with (
            mmap.mmap(fd, length, prot=mmap.PROT_READ, offset=position) as window,
            memoryview(window) as view,
            view[max(start - position, 0) :] as part,
        ):
            sha256.update(part)


def hash_file(fd: int) -> str:
    """SHA-256 in hex of the file `fd`, which others may change: nothing of it is mapped."""
    sha256 = hashlib.sha256()
    size = os.fstat(fd).st_size
    buffer = memoryview(bytearray(min(HASH_BYTES, size + 1)))
    position = 0
    while count := os.preadv(fd, [buffer], position):
        sha256.update(buffer[:count])
        position += count
    return sha256.hexdigest()


def _clone(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _CLONE, source)
    except OSError:
        return False
    return True


def _copy(disk: Disk, source: int, target: int, progress: _Progress) -> None:
    """Copy in the kernel where it can, else through memory."""
    try:
        while count := os.copy_file_range(source, target, COPY_BYTES):
            progress.advance(count)
        # Some file systems (of /proc, some of FUSE) say "nothing more" without having copied.
        if progress.copied:
            return
    except OSError:
        if progress.copied:
            raise
    while data := os.read(source, COPY_BYTES):
        write_all(disk, target, data)
        progress.advance(len(data))
