"""How a file comes to be: written aside, synced, closed, then linked into place, never changed.

Every call to the operating system that writes goes through `Disk`, so that tests can put faults
in its place.
"""

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from instrument.errors import InstrumentError, StoreError

NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Does not wait at a pipe that somebody put in the place of a file.
READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
READ_WRITE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Systems write what is dirty within half a minute, whether it is synced or not.
_WRITTEN_NS: Final = 300_000_000_000
# Names that this process has seen synced, in whatever store: a run that follows another in one
# process opens the store anew. The number of its file does not tell a name from one that was made
# again, since file systems give numbers again; but then its directory has changed.
_DURABLE: Final = set["_Name"]()
_MISSING: Final = -1
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# A file system that cannot sync says so in one of these ways; there is nothing more to do.
_NO_SYNC: Final = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
# A file system without hard links says so in one of these ways.
NO_LINK: Final = frozenset(
    {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK}
)


class Disk:
    """The calls that change the disk, each as the operating system has it."""

    def __init__(self) -> None:
        self.open: Callable[..., int] = os.open
        self.write: Callable[[int, bytes | bytearray | memoryview], int] = os.write
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


@contextmanager
def naming(*paths: object) -> Iterator[None]:
    """Let an error of the operating system that names no file, as of a descriptor, name `paths`."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = " or ".join(map(str, paths))
        raise


def write_all(disk: Disk, fd: int, data: bytes | bytearray) -> None:
    """Write all of `data`: one call may take less than it is given."""
    rest = memoryview(data)
    while rest:
        rest = rest[disk.write(fd, rest) :]


def read_file(path: Path) -> bytes:
    """The bytes of the regular file `path`; a symbolic link is an error."""
    fd = os.open(path, READ)
    try:
        with os.fdopen(fd, "rb", closefd=False) as stream:
            return stream.read()
    except IsADirectoryError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(fd)


def is_regular(path: Path) -> bool:
    """Whether `path` itself, no link to it, is a regular file."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def is_directory(path: Path) -> bool:
    """Whether `path` itself, no link to it, is a directory."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
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
        self._root = root
        self._temporary = root / "tmp"
        self._known: dict[Path, Path] = {}  # directories that were seen, and what they lie in

    def make_directory(self, path: Path) -> list[Path]:
        """As `have_directory`; the result is what `sync_directory` must see."""
        self.have_directory(path)
        return self.above(path)

    def have_directory(self, path: Path) -> None:
        """Make `path`, private, with its parents, where it is not there."""
        if not is_directory(path):  # or somebody has removed it since
            self.make_once(path)
        elif path in self._known:
            return
        elif path != self._root and path.parent not in self._known:
            self.have_directory(path.parent)
        self._known[path] = path.parent

    def make_once(self, path: Path) -> bool:
        """As `have_directory`, for one that is not asked for again; whether it was made here."""
        if path != self._root:
            self.have_directory(path.parent)
        try:
            self.disk.mkdir(path, 0o700)
        except FileExistsError:
            if not is_directory(path):  # to write through a link is to write somewhere else
                raise NotADirectoryError(errno.ENOTDIR, "no directory of ours", str(path)) from None
            return False
        _DURABLE.discard(_named(path))  # the clock of the directory may stand still meanwhile
        return True

    def make_durable_directory(self, path: Path) -> None:
        """Make `path` so that it survives the death of the machine."""
        self.have_directory(path)
        self.make_durable(path)

    def make_durable(self, path: Path) -> None:
        """Make the name of `path`, which is there, survive the death of the machine."""
        unsynced = self._unsynced(path)
        names = list(map(_named, unsynced))
        for each in unsynced:
            self.sync_directory(each.parent)
        _DURABLE.update(names)

    def above(self, path: Path) -> list[Path]:
        """The directories that must be synced for the name of `path` to survive."""
        return [each.parent for each in self._unsynced(path)]

    def _unsynced(self, path: Path) -> list[Path]:
        """`path` and what it lies in, as far as their names may not survive.

        A directory that is there may be the work of a process that did not come to sync it: what
        changed lately and was not synced by this process counts as not synced.
        """
        inside = len(path.parts) - len(self._root.parts)
        names = [path, *path.parents][: inside + 1]
        return [each for each in names if not self._is_durable(each)]

    def sync_directory(self, path: Path) -> None:
        """Make the names in `path` durable, where the file system can."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            known = [_named(each) for each, above in tuple(self._known.items()) if above == path]
            self.sync(fd)
        finally:
            os.close(fd)
        _DURABLE.update(known)

    def _is_durable(self, path: Path) -> bool:
        """Whether this process saw the name of `path` synced, or the system must have written it.

        A name in a directory that did not change for long has been written.
        """
        name = _named(path)
        if name.inode == _MISSING:
            return False
        if name in _DURABLE:
            return True
        if time.time_ns() - name.changed_ns < _WRITTEN_NS:
            return False
        if path in self._known:
            _DURABLE.add(name)
        return True

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
        self.have_directory(self._temporary)
        path = self._temporary / f"{os.getpid()}-{os.urandom(8).hex()}"
        return self.disk.open(path, flags, 0o600), path

    @contextmanager
    def discarding(self, temporary: Path) -> Iterator[None]:
        """Leave no `temporary` behind, however the block ends; what fails in it names the file."""
        try:
            with naming(temporary):
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
            if error.errno not in NO_LINK:
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


class _Name(NamedTuple):
    """A name, and what tells it from the same name when it is made again.

    Attributes:
        path: The name.
        inode: The number of its file.
        changed_ns: When a name in its directory was last made or removed.
    """

    path: str
    inode: int
    changed_ns: int


def _named(path: Path) -> _Name:
    name = str(path)
    try:
        directory = os.stat(os.path.dirname(name))  # noqa: PTH116, PTH120 - many times a run
        return _Name(name, os.lstat(name).st_ino, directory.st_mtime_ns)
    except OSError:
        return _Name(name, _MISSING, 0)


def _same_file(first: Path, second: Path) -> bool:
    try:
        return os.path.samestat(first.lstat(), second.lstat())
    except OSError:
        return False
