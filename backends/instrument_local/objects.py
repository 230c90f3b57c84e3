"""Bytes named by their SHA-256: ``objects/ab/<hex>``, stored once, verified when read."""

import hashlib
import os
import stat
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from instrument.errors import IntegrityError, NotFoundError
from instrument.vocabulary import File
from instrument_local.copying import copy_and_hash, hash_file
from instrument_local.files import READ, READ_WRITE, is_regular, store_errors, write_all
from instrument_local.hashes import HashCache
from instrument_local.layout import Layout

_READ_SOURCE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe must not make us wait


class LocalObjects:
    """See `instrument.protocols.Objects`."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._files = layout.files
        self._hashes = HashCache()

    def put_bytes(self, data: bytes) -> str:
        """See `instrument.protocols.Objects`."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        with store_errors(f"store {len(data)} bytes"):
            if self._has_good(digest, len(data)):
                return digest
            self._layout.create()
            fd, temporary = self._files.temporary()
            with self._files.discarding(temporary):
                try:
                    write_all(self._files.disk, fd, data)
                    self._files.sync(fd)
                finally:
                    self._files.disk.close(fd)
                self._place(temporary, digest)
        return digest

    def put_file(self, path: Path) -> File:
        """See `instrument.protocols.Objects`."""
        with store_errors(f"store {path}"):
            try:
                status = path.stat()
            except (FileNotFoundError, NotADirectoryError, ValueError):
                raise NotFoundError(f"{path} does not exist; give the path of a file") from None
            if not stat.S_ISREG(status.st_mode):
                raise NotFoundError(f"{path} is no regular file; give the path of a file")
            digest = self._hashes.get(status)
            if digest is None or not self._has_good(digest, status.st_size, self._hashes):
                return self._copy_in(path)
            return File(path=path.name, digest=digest, size_bytes=status.st_size)

    def get_bytes(self, digest: str) -> bytes:
        """See `instrument.protocols.Objects`."""
        with self.open(digest) as stream, store_errors(f"read object {digest}"):
            return stream.read()

    def open(self, digest: str) -> BinaryIO:
        """See `instrument.protocols.Objects`."""
        path = self._layout.object_path(digest)
        if path is None:
            raise NotFoundError(f"{digest!r:.90} is no digest; one is sha256: and 64 hex digits")
        with store_errors(f"read object {digest}"):
            try:
                stream = os.fdopen(os.open(path, READ), "rb")
            except FileNotFoundError:
                raise NotFoundError(f"there is no object {digest}") from None
            with ExitStack() as on_error:
                on_error.callback(stream.close)
                found = hash_file(stream.fileno())
                if found != path.name:
                    raise IntegrityError(
                        f"object {digest} has changed: found sha256:{found}; restore it from a copy"
                    )
                on_error.pop_all()
        return stream

    def contains(self, digest: str) -> bool:
        """See `instrument.protocols.Objects`."""
        return self.path_of(digest) is not None

    def path_of(self, digest: str) -> Path | None:
        """See `instrument.protocols.Objects`."""
        path = self._layout.object_path(digest)
        return path if path is not None and is_regular(path) else None

    def _copy_in(self, path: Path) -> File:
        """Copy the file `path` into the store and remember its digest."""
        source = os.open(path, _READ_SOURCE)
        try:
            before = os.fstat(source)
            self._layout.create()
            fd, temporary = self._files.temporary(READ_WRITE)
            with self._files.discarding(temporary):
                try:
                    found, size = copy_and_hash(self._files.disk, source, fd, self._files.sync)
                finally:
                    self._files.disk.close(fd)
                target = self._place(temporary, f"sha256:{found}")
            self._hashes.put(target.lstat(), f"sha256:{found}", immutable=True)
            if _same(before, os.fstat(source)):
                self._hashes.put(before, f"sha256:{found}")
        finally:
            os.close(source)
        return File(path=path.name, digest=f"sha256:{found}", size_bytes=size)

    def _place(self, temporary: Path, digest: str) -> Path:
        """Name the finished file `temporary`; a damaged object of that name is replaced."""
        target = self._layout.object_path(digest)
        assert target is not None  # noqa: S101 - `digest` was computed here
        self._files.make_durable_directory(target.parent)
        with suppress(OSError):
            temporary.chmod(0o444)
        if not self._files.place(temporary, target) and not _is_good(target):
            self._files.disk.rename(temporary, target)
            self._files.sync_directory(target.parent)
        return target

    def _has_good(self, digest: str, size: int, hashes: HashCache | None = None) -> bool:
        """Whether the object is there, whole and durable; what `hashes` knows is not read again."""
        path = self.path_of(digest)
        if path is None:
            return False
        status = path.lstat()
        if hashes is not None and hashes.get(status) == digest:
            return True
        if status.st_size != size or not _is_good(path):
            return False
        self._files.sync_directory(path.parent)  # whoever made it may not have come so far
        if hashes is not None:
            hashes.put(status, digest, immutable=True)
        return True


def _is_good(path: Path) -> bool:
    """Whether the object at `path` has the bytes that its name says."""
    try:
        fd = os.open(path, READ)
    except OSError:
        return False
    try:
        return hash_file(fd) == path.name
    finally:
        os.close(fd)


def _same(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_size,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )
