"""Copies a file and hashes the copy, both at once; memory stays bounded at any size.

Nothing is mapped: a page that cannot be read is an error here, and would be the end of the process
there.
"""

import errno
import fcntl
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from instrument_local.errands import BEGIN_SECONDS, Errand
from instrument_local.files import Disk, write_all

_CLONE: Final = 0x40049409  # FICLONE of linux/fs.h: share the blocks until one side changes
COPY_BYTES: Final = 8 * 1024 * 1024
"""Small, so that hashing starts early."""
HASH_BYTES: Final = 8 * 1024 * 1024
"""Large: between two of them another thread may keep the interpreter for 5 ms."""
_SMALL_BYTES: Final = 256 * 1024  # a file that is read and written in one call each
_SECTOR_BYTES: Final = 512  # the unit of st_blocks
# How a kernel says that it cannot copy between these two files, before it has copied anything.
_NO_COPY: Final = frozenset(
    {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}
)


Told = Callable[[int], None]


def nobody(number: int) -> None:
    """Is told of progress when nobody else wants to be."""


def copy_and_hash(
    disk: Disk, source: int, target: int, finish: Callable[[int], None], told: Told
) -> tuple[str, int]:
    """Copy all of file `source` into the empty file `target`.

    Args:
        disk: Writes.
        source: Descriptor of a regular file.
        target: Descriptor of an empty file, to be read and written.
        finish: Called with `target` when it has everything, beside the hashing where that takes a
            while.
        told: Called with the number of bytes that were hashed, again and again.

    Returns:
        SHA-256 in hex and size of the bytes that `target` then has, whoever wrote to `source`
        meanwhile.

    Raises:
        OSError: Reading or writing failed.
    """
    if not _clone(source, target):
        size = os.fstat(source).st_size
        if size > COPY_BYTES:
            return _copy_beside_hashing(disk, source, target, finish, told)
        if 0 < size <= _SMALL_BYTES and len(data := os.read(source, size + 1)) == size:
            return _write_and_hash(disk, data, target, finish, told)
        _Copier(disk, source, target, nobody).copy()
    finish(target)
    sha256 = hashlib.sha256()
    size = _hash_on(sha256, target, 0, os.fstat(target).st_size, told)
    return sha256.hexdigest(), size


def _write_and_hash(
    disk: Disk, data: bytes, target: int, finish: Callable[[int], None], told: Told
) -> tuple[str, int]:
    write_all(disk, target, data)
    finish(target)
    told(len(data))
    return hashlib.sha256(data).hexdigest(), len(data)


class _Progress:
    """How far the copy is, told from the copying to the hashing thread."""

    def __init__(self) -> None:
        self._copied = 0
        self._done = False
        self._changed = threading.Condition()

    def reach(self, end: int) -> None:
        with self._changed:
            self._copied = end
            self._changed.notify()

    def finish(self) -> None:
        with self._changed:
            self._done = True
            self._changed.notify()

    def wait_beyond(self, position: int, copying: Errand[None]) -> int:
        """Wait until more than `position` is copied, or all; how much that is."""
        moved = lambda: self._done or self._copied > position  # noqa: E731 - one line
        while True:
            with self._changed:
                if self._changed.wait_for(moved, BEGIN_SECONDS) or copying.has_ended:
                    return self._copied
            copying.step_in()


def _copy_beside_hashing(
    disk: Disk, source: int, target: int, finish: Callable[[int], None], told: Told
) -> tuple[str, int]:
    progress = _Progress()

    def copy() -> None:
        try:
            _Copier(disk, source, target, progress.reach).copy()
            finish(target)
        finally:
            progress.finish()

    copying = Errand(copy)
    sha256 = hashlib.sha256()
    hashed = 0
    try:
        while (copied := progress.wait_beyond(hashed, copying)) > hashed:
            hashed = _hash_on(sha256, target, hashed, copied, told)
    finally:
        copying.wait()  # whoever is told of a failure closes the files
    if copying.error is not None:
        raise copying.error
    return sha256.hexdigest(), hashed


def _hash_on(sha256: "hashlib._Hash", fd: int, start: int, end: int, told: Told) -> int:
    """Hash bytes `start` to `end`, or what there is of them; the position after the last one."""
    buffer = memoryview(bytearray(min(HASH_BYTES, end - start)))
    while start < end and (count := os.preadv(fd, [buffer[: end - start]], start)):
        sha256.update(buffer[:count])
        start += count
        told(count)
    return start


def hash_file(fd: int, told: Told = nobody) -> str:
    """SHA-256 in hex of the file `fd`; `told` hears how many bytes were hashed, again and again."""
    sha256 = hashlib.sha256()
    position, end = 0, os.fstat(fd).st_size
    while (reached := _hash_on(sha256, fd, position, end + 1, told)) > position:
        position = end = reached
    return sha256.hexdigest()


def _clone(source: int, target: int) -> bool:
    """Let `target` share the blocks of `source`, where the file system can."""
    try:
        fcntl.ioctl(target, _CLONE, source)
    except OSError:
        return False
    return True


class _Copier:
    """Copies in the kernel where it can, else through memory; holes stay holes.

    Args:
        disk: Writes.
        source: Where from.
        target: Where to.
        reached: Called with the end of what `target` has.
    """

    def __init__(self, disk: Disk, source: int, target: int, reached: Told) -> None:
        self._disk = disk
        self._source = source
        self._target = target
        self._reached = reached

    def copy(self) -> None:
        status = os.fstat(self._source)
        if status.st_blocks * _SECTOR_BYTES >= status.st_size:
            self._copy_range(0, None)
            return
        for start, end in _extents(self._source, status.st_size):
            self._copy_range(start, end)
        if os.fstat(self._target).st_size < status.st_size:  # it ends in a hole
            os.lseek(self._target, status.st_size - 1, os.SEEK_SET)
            write_all(self._disk, self._target, b"\0")
            self._reached(status.st_size)

    def _copy_range(self, start: int, end: int | None) -> None:
        """Copy bytes `start` to `end`, None being wherever the file then ends."""
        position = start
        try:
            while count := os.copy_file_range(
                self._source, self._target, _length(position, end), position, position
            ):
                position += count
                self._reached(position)
        except OSError as error:
            if position > start or error.errno not in _NO_COPY:
                raise  # what is copied may be hashed: it must not be written again
        # Some file systems (of /proc, some of FUSE) say "nothing more" without having copied.
        if position == start:
            self._through_memory(start, end)

    def _through_memory(self, position: int, end: int | None) -> None:
        os.lseek(self._target, position, os.SEEK_SET)
        while data := os.pread(self._source, _length(position, end), position):
            write_all(self._disk, self._target, data)
            position += len(data)
            self._reached(position)


def _length(position: int, end: int | None) -> int:
    return COPY_BYTES if end is None else min(COPY_BYTES, end - position)


def _extents(source: int, size: int) -> Iterator[tuple[int, int]]:
    """Where a file has data: all of it, where the file system does not tell."""
    end = 0
    while end < size:
        try:
            start = os.lseek(source, end, os.SEEK_DATA)
            end = min(os.lseek(source, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no more data
                return
            start, end = end, size
        if start < end:
            yield start, end


def start_writing(fd: int) -> None:
    """Let the disk begin with a file, so that its sync later finds little left to do.

    The advice "not needed" makes Linux start to write what is dirty and drop what is clean; what
    was just copied is dirty.
    """
    with suppress(OSError):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
