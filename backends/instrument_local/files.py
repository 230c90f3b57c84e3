"""How a file comes to be: written aside, synced, closed, then linked into place, never changed.

Every call to the operating system that writes goes through `Disk`, so that tests can put faults
in its place.
"""

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from instrument.errors import InstrumentError, StoreError

NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
READ_WRITE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# A file system that cannot sync says so in one of these ways; there is nothing more to do.
_NO_SYNC: Final = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
# A file system without hard links says so in one of these ways.
_NO_LINK: Final = frozenset(
    {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK}
)


class Disk:
    """The calls that change the disk, each as the operating system has it."""

    def __init__(self) -> None:
        self.open: Callable[..., int] = os.open
        self.write: Callable[[int, bytes | memoryview], int] = os.write
        self.fsync: Callable[[int], None] = os.fsync
        self.fdatasync: Callable[[int], None] = os.fdatasync
        self.close: Callable[[int], None] = os.close
        self.link: Callable[[Path, Path], None] = os.link
        self.rename: Callable[[Path, Path], None] = os.rename
        self.unlink: Callable[[Path], None] = os.unlink
        self.mkdir: Callable[[Path, int], None] = os.mkdir
        self.rmdir: Callable[[Path], None] = os.rmdir
        self.utime: Callable[[Path], None] = os.utime


@contextmanager
def store_errors(doing: str) -> Iterator[None]:
    """Turn what the operating system says into a `StoreError` that says what was tried."""
    try:
        yield
    except InstrumentError:
        raise
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        reason = error.strerror or str(error)
        raise StoreError(f"cannot {doing}: {reason}{where}; check space and permissions") from error


def write_all(disk: Disk, fd: int, data: bytes) -> None:
    """Write all of `data`: one call may take less than it is given."""
    rest = memoryview(data)
    while rest:
        rest = rest[disk.write(fd, rest) :]


def read_file(path: Path) -> bytes:
    """The bytes of the regular file `path`; a symbolic link is an error."""
    with os.fdopen(os.open(path, READ), "rb") as stream:
        return stream.read()


def is_regular(path: Path) -> bool:
    """Whether `path` itself, no link to it, is a regular file."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def is_directory(path: Path) -> bool:
    """Whether `path` itself, no link to it, is a directory."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def open_below(root: Path, path: Path) -> int:
    """A descriptor to read the file `path` below `root`; from `root` on no link is followed.

    Raises:
        OSError: It cannot be opened, or it or one of its directories is a symbolic link.
    """
    *directories, name = path.relative_to(root).parts
    fd = os.open(root, _DIRECTORY)
    try:
        for directory in directories:
            inner = os.open(directory, _DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = inner
        return os.open(name, READ, dir_fd=fd)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(fd)


class Files:
    """Makes files and directories of one store.

    Args:
        root: Directory of the store.
        disk: The calls that change the disk.
    """

    def __init__(self, root: Path, disk: Disk) -> None:
        self.disk = disk
        self._temporary = root / "tmp"
        self._known: set[Path] = set()

    def make_directory(self, path: Path) -> list[Path]:
        """Make `path`, private, with its parents; the result is what `sync_directory` must see."""
        if path in self._known and path.exists():  # somebody may have removed it
            return []
        to_sync = self.make_once(path)
        self._known.add(path)
        return to_sync

    def make_once(self, path: Path) -> list[Path]:
        """As `make_directory`, for a directory that is not asked for again and again."""
        to_sync = []
        try:
            self.disk.mkdir(path, 0o700)
            to_sync.append(path.parent)
        except FileExistsError:
            if not is_directory(path):  # to write through a link is to write somewhere else
                raise NotADirectoryError(errno.ENOTDIR, "no directory of ours", str(path)) from None
        except FileNotFoundError:
            self._known.discard(path.parent)
            to_sync = [*self.make_directory(path.parent), path.parent]
            with suppress(FileExistsError):
                self.disk.mkdir(path, 0o700)
        return to_sync

    def make_durable_directory(self, path: Path) -> None:
        """Make `path` so that it survives the death of the machine."""
        for parent in self.make_directory(path):
            self.sync_directory(parent)

    def sync_directory(self, path: Path) -> None:
        """Make the names in `path` durable, where the file system can."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sync(fd)
        finally:
            os.close(fd)

    def sync(self, fd: int, *, data_only: bool = False) -> None:
        """Make what was written to `fd` durable, where the file system can."""
        try:
            (self.disk.fdatasync if data_only else self.disk.fsync)(fd)
        except OSError as error:
            if error.errno not in _NO_SYNC:
                raise

    def publish(self, target: Path, data: bytes, *, durable: bool = True) -> bool:
        """Make `target` with the content `data`, whole or not at all.

        Returns:
            True when this call made it, False when `target` was there already.
        """
        fd, temporary = self.temporary()
        with self.discarding(temporary):
            try:
                write_all(self.disk, fd, data)
                if durable:
                    self.sync(fd)
            finally:
                self.disk.close(fd)
            return self.place(temporary, target, durable=durable)

    def temporary(self, flags: int = NEW_FILE) -> tuple[int, Path]:
        """A new private file that nobody else knows, open for writing."""
        self.make_directory(self._temporary)
        path = self._temporary / f"{os.getpid()}-{secrets.token_hex(8)}"
        return self.disk.open(path, flags, 0o600), path

    @contextmanager
    def discarding(self, temporary: Path) -> Iterator[None]:
        """Leave no `temporary` behind, however the block ends."""
        try:
            yield
        finally:
            with suppress(OSError):
                self.disk.unlink(temporary)

    def place(self, temporary: Path, target: Path, *, durable: bool = True) -> bool:
        """Give the finished file `temporary` the name `target`, if nobody has it.

        Returns:
            Whether `target` is now that file; False when another was there first.
        """
        made = self._link(temporary, target)
        if durable:
            self.sync_directory(target.parent)
        return made

    def _link(self, temporary: Path, target: Path) -> bool:
        try:
            self.disk.link(temporary, target)
        except OSError as error:
            # A network file system may fail after it succeeded: look before believing it.
            if _same_file(temporary, target):
                return True
            if error.errno == errno.EEXIST:
                return False
            if error.errno not in _NO_LINK:
                raise
            return self._rename(temporary, target)
        return True

    def _rename(self, temporary: Path, target: Path) -> bool:
        """Without hard links: reserve the name by creating it, then put the file in its place."""
        try:
            self.disk.close(self.disk.open(target, NEW_FILE, 0o600))
        except FileExistsError:
            return False
        self.disk.rename(temporary, target)
        return True


def _same_file(first: Path, second: Path) -> bool:
    try:
        return os.path.samestat(first.lstat(), second.lstat())
    except OSError:
        return False
