"""Files become objects: many at once, each durable before it has a name.

Referenced means durably there (docs/decisions/0005-ingest.md):

1. a copy is synced through the descriptor that wrote it, and closed, before it is named;
2. the names are synced, once for each directory, before `put` returns or the hash cache learns;
3. whatever refers to an object is written after that.

Found to be there means there to stay: an object that is used again is made young, and gc, which
leaves the young alone, looks once more before it removes anything (`instrument_local.upkeep`).
"""

import errno
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from instrument.errors import StoreError
from instrument.vocabulary import File
from instrument_local.copying import COPY_BYTES, Told, copy_and_hash, hash_file, start_writing
from instrument_local.errands import side_by_side
from instrument_local.files import READ, READ_WRITE, Files, is_regular, naming, store_errors
from instrument_local.hashes import HashCache, Key, Row, key_of
from instrument_local.layout import Layout
from instrument_local.sources import READ_SOURCE, Sources, StrPath

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_THREADS: Final = 4  # syncs wait for the disk; side by side they wait less
_BATCH_FILES: Final = 64  # copies that a thread has open before it syncs them
_TRIES: Final = 3
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
# An object that is younger is not made young again; a quarter of what gc leaves alone at least.
_YOUNG_SECONDS: Final = 6 * 3600.0


class _Source(NamedTuple):
    """A file to store, and its size before it was read."""

    path: StrPath
    size: int


class _Stored(NamedTuple):
    """What became of a source, and whether it held still while it was read.

    `key` is that of the source where its next change will show, else None.
    """

    digest: str
    size: int
    is_steady: bool
    key: Key | None


class _Batch(NamedTuple):
    """What became of some sources, and the directories to be synced before it counts."""

    stored: list[_Stored]
    directories: set[Path]


class _Copy:
    """A file in tmp/, until it has its name."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.fd, self.path = files.temporary(READ_WRITE)
        self._is_open = True

    def finish(self) -> None:
        """Make the bytes durable, and hear of everything that went wrong with them."""
        with naming(self.path):
            self._files.sync(self.fd)
            self._close()

    def discard(self) -> None:
        """Give up the file, or after it was named its first name."""
        with suppress(OSError):
            self._close()
        with suppress(OSError):
            self._files.disk.unlink(self.path)

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False  # the descriptor is gone, whatever closing it says
            self._files.disk.close(self.fd)


class Ingest:
    """Puts files into the objects of one store.

    Args:
        layout: Where the store keeps things.
        hashes: Digests of files that were hashed before.
    """

    def __init__(self, layout: Layout, hashes: HashCache) -> None:
        self._layout = layout
        self._files = layout.files
        self._hashes = hashes
        self._objects = str(layout.objects)  # to make a `Path` takes longer than to ask the disk
        self._sources = Sources()

    def put(self, paths: Sequence[StrPath], told: Told, *, steady: bool) -> list[File]:
        """See `instrument.protocols.Objects.put_files`; unless `steady`, as ``put_file``."""
        # Most calls of ten thousands of files are for files that did not change: nothing is made
        # for each that need not be.
        keys, sizes = self._sources.keys_and_sizes(paths)
        digests = self._known(keys)
        found = list(zip(paths, sizes, digests, strict=True))
        new = [_Source(path, size) for path, size, digest in found if digest is None]
        told(sum(sizes) - sum(source.size for source in new))
        made = iter(self._store(new, told, steady=steady))
        return [
            _file(path, digest, size) if digest else _file(path, *next(made)[:2])
            for path, size, digest in found
        ]

    def identify(self, path: Path) -> File:
        """See `instrument.protocols.Objects.identify`."""
        status = self._sources.status(path)
        (digest,) = self._hashes.get([key_of(status)])
        size = status.st_size
        if digest is None:
            fd = os.open(path, READ_SOURCE)
            try:
                before, will_show = self._sources.look(fd, path)
                digest, size = f"sha256:{hash_file(fd)}", before.st_size
                is_steady = _changes(before) == _changes(os.fstat(fd))
            finally:
                os.close(fd)
            if is_steady and will_show:
                self._hashes.put([(key_of(before), digest, None)])
        return File(path=path.name, digest=digest, size_bytes=size)

    def has_good(self, digest: str) -> bool:
        """Whether the object is there, whole and durable; every byte of it is read."""
        path = self._layout.object_path(digest)
        if path is None or not is_regular(path) or not self._stays(path):
            return False
        if _found(path) != path.name:
            return False
        self._files.make_durable(path)  # whoever made it may not have come so far
        return True

    def place(self, temporary: Path, digest: str) -> set[Path]:
        """Name a finished file; an object of that name that is damaged, or may go, makes way.

        Returns:
            The directories to be synced before anything may refer to it.
        """
        target = self._layout.object_path(digest)
        assert target is not None  # noqa: S101 - `digest` was computed here
        above = self._files.make_directory(target.parent)
        if not self._files.place(temporary, target, durable=False):
            self._replace(target, temporary)
        return {target.parent, *above}

    def _replace(self, target: Path, temporary: Path) -> None:
        """Let `temporary` take the place of the object `target`, unless that is good and stays."""
        stays, found = self._stays(target), _found(target)
        if stays and found == target.name:
            return
        if found != target.name and not _is_free(target):
            from instrument_local.healing import set_aside

            set_aside(self._layout, target, found)
        self._files.disk.rename(temporary, target)

    def _known(self, keys: Sequence[Key]) -> list[str | None]:
        """For each source its object, where neither has changed since it was hashed."""
        rows = self._hashes.rows(keys)
        objects, old = self._keys({row[1] for row in rows if row is not None})
        moved = [row for row in rows if row and objects.get(row[1]) != row[2]]
        for digest in self._unlike(moved, objects):
            objects.pop(digest, None)
        for digest in self._going([digest for digest in old if digest in objects]):
            del objects[digest]
        return [row[1] if row is not None and row[1] in objects else None for row in rows]

    def _unlike(self, rows: Sequence[Row], objects: dict[str, Key]) -> set[str]:
        """The objects of `rows`, of sources, that are not what was last seen of them anywhere.

        The others are remembered with their objects as they are now.
        """
        now = [(key, digest, objects[digest]) for key, digest, _ in rows if digest in objects]
        hashed = self._hashes.get([row[2] for row in now])
        like = [row for row, digest in zip(now, hashed, strict=True) if row[1] == digest]
        if like:
            self._hashes.put(like)
        return {row[1] for row in rows}.difference(row[1] for row in like)

    def _going(self, old: Sequence[str]) -> list[str]:
        """Those of the objects `old` that gc may be removing; the others are made young."""
        going: list[str] = []
        rows: list[Row] = []
        for digest in old:
            path = Path(self._objects, digest[7:9], digest[7:])
            if not self._stays(path):
                going.append(digest)
            elif key := _key(path):  # to make an object young changes what it is known by
                rows.append((key, digest, None))
        if rows:
            self._hashes.put(rows)
        return going

    def _stays(self, path: Path) -> bool:
        """Keep gc from removing the object at `path`; False when it may be going already."""
        try:
            if not 0 <= time.time() - path.lstat().st_mtime < _YOUNG_SECONDS:
                self._files.disk.utime(path)
        except OSError:  # it is gone, or somebody else's
            return False
        return True

    def _keys(self, digests: Iterable[str]) -> tuple[dict[str, Key], list[str]]:
        """What those of the objects `digests` are like that are there, and the old ones of them."""
        keys: dict[str, Key] = {}
        old: list[str] = []
        try:
            place = os.open(self._objects, _DIRECTORY)
        except OSError:
            return keys, old
        now = time.time_ns()
        young = now - int(_YOUNG_SECONDS * 1e9)
        try:
            for digest in digests:
                name = f"{digest[7:9]}/{digest[7:]}"
                try:
                    status = os.stat(name, dir_fd=place, follow_symlinks=False)
                except OSError:
                    continue
                keys[digest] = key_of(status)
                if not young < status.st_mtime_ns <= now:
                    old.append(digest)
        finally:
            os.close(place)
        return keys, old

    def _store(self, sources: Sequence[_Source], told: Told, *, steady: bool) -> list[_Stored]:
        if not sources:
            return []
        self._layout.create()
        done: list[_Batch] = []

        def put(batch: Sequence[_Source]) -> list[_Stored]:
            made = self._put_batch(batch, told, steady=steady)
            done.append(made)
            return made.stored

        try:
            stored = side_by_side(put, list(_batches(sources)), _THREADS)
        finally:  # when one failed and all are tried again, the others need not be copied again
            self._finish(done)
        return [each for batch in stored for each in batch]

    def _finish(self, done: Sequence[_Batch]) -> None:
        """Make the names of what was stored durable, then let the hash cache know it."""
        directories = sorted({each for batch in done for each in batch.directories})
        side_by_side(self._files.sync_directory, directories, _THREADS)
        self._remember([each for batch in done for each in batch.stored])

    def _put_batch(self, batch: Sequence[_Source], told: Told, *, steady: bool) -> _Batch:
        """Copy all, then sync all, then name all: the disk works while we copy."""
        copies: list[_Copy] = []
        stored: list[_Stored] = []
        directories: set[Path] = set()
        try:
            for source in batch:
                with store_errors(f"store {source.path}"):
                    copy, made = self._copy(source, told, steady=steady)
                copies.append(copy)
                stored.append(made)
            for copy in copies:
                copy.finish()
            for copy, made in zip(copies, stored, strict=True):
                directories |= self.place(copy.path, made.digest)
        finally:
            for copy in copies:
                copy.discard()
        return _Batch(stored, directories)

    def _copy(self, source: _Source, told: Told, *, steady: bool) -> tuple[_Copy, _Stored]:
        for _ in range(_TRIES):
            copy = _Copy(self._files)
            try:
                stored = self._fill(copy, source, told)
            except BaseException:
                copy.discard()
                raise
            if stored.is_steady or not steady:
                return copy, stored
            copy.discard()
        raise StoreError(
            f"{source.path} changed while it was read, {_TRIES} times; "
            "log it when nobody writes to it"
        )

    def _fill(self, copy: _Copy, source: _Source, told: Told) -> _Stored:
        fd = os.open(source.path, READ_SOURCE)
        try:
            before, will_show = self._sources.look(fd, source.path)
            finish = self._files.sync if before.st_size > COPY_BYTES else start_writing
            with _naming_side(source.path, copy.path):
                found, size = copy_and_hash(self._files.disk, fd, copy.fd, finish, told)
            make_read_only(copy.fd)
            is_steady = _changes(before) == _changes(os.fstat(fd))
        finally:
            os.close(fd)
        key = key_of(before) if is_steady and will_show else None
        return _Stored(f"sha256:{found}", size, is_steady, key)

    def _remember(self, stored: Sequence[_Stored]) -> None:
        """Let the hash cache know the objects, and the sources whose next change will show."""
        objects, _ = self._keys({made.digest for made in stored})
        sources = [
            (made.key, made.digest, objects.get(made.digest))
            for made in stored
            if made.key is not None
        ]
        self._hashes.put([*sources, *((key, digest, None) for digest, key in objects.items())])


@contextmanager
def _naming_side(source: StrPath, copy: Path) -> Iterator[None]:
    """Let an error of copying name the file that failed; both, where the system does not tell."""
    try:
        yield
    except OSError as error:
        with naming(*([copy] if error.errno in _NO_ROOM else [source, copy])):
            raise


def make_read_only(fd: int) -> None:
    """Keep people from changing an object by mistake, where the file system has such a mode."""
    with suppress(OSError):
        os.fchmod(fd, 0o444)


def _batches(sources: Sequence[_Source]) -> Iterator[list[_Source]]:
    """Files to be copied together: not too many, and together not larger than one alone may be."""
    batch: list[_Source] = []
    size = 0
    for source in sources:
        size += source.size
        if batch and (len(batch) == _BATCH_FILES or size > COPY_BYTES):
            yield batch
            batch, size = [], source.size
        batch.append(source)
    yield batch


def _file(path: StrPath, digest: str, size: int) -> File:
    name = os.fspath(path).rpartition("/")[2]
    return File(path=name, digest=digest, size_bytes=size)


def _key(path: Path) -> Key | None:
    try:
        return key_of(path.lstat())
    except OSError:
        return None


def _is_free(path: Path) -> bool:
    """Whether nothing is at `path`, or what somebody reserves the name with who has no links."""
    try:
        status = path.lstat()
    except OSError:
        return True
    return (
        not status.st_size and bool(status.st_mode & stat.S_IWUSR) and stat.S_ISREG(status.st_mode)
    )


def _found(path: Path) -> str | None:
    """The digest of the object at `path` in hex: its name, if it is good; None: unreadable."""
    with suppress(OSError):
        fd = os.open(path, READ)
        try:
            return hash_file(fd)
        finally:
            os.close(fd)
    return None


def _changes(status: os.stat_result) -> tuple[int, int, int]:
    """What is different after a change."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
