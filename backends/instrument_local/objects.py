"""Bytes named by their SHA-256: ``objects/ab/<hex>``, stored once, verified when read."""

import hashlib
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO, Final

from instrument.errors import IntegrityError, NotFoundError
from instrument.vocabulary import File
from instrument_local.copying import Told, hash_file, nobody
from instrument_local.files import is_regular, open_below, store_errors, write_all
from instrument_local.hashes import HashCache, Key, is_settled, key_of
from instrument_local.ingest import Ingest, make_read_only
from instrument_local.layout import Layout

_LARGE_BYTES: Final = 1024 * 1024  # what is smaller is hashed faster than remembered


class LocalObjects:
    """See `instrument.protocols.Objects`."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._files = layout.files
        self._ingest = Ingest(layout, HashCache())
        self._checked: dict[Key, str] = {}  # large objects that this process has hashed

    def put_bytes(self, data: bytes) -> str:
        """See `instrument.protocols.Objects`."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        with store_errors(f"store {len(data)} bytes"):
            if self._ingest.has_good(digest):
                return digest
            self._layout.create()
            fd, temporary = self._files.temporary()
            with self._files.discarding(temporary):
                try:
                    write_all(self._files.disk, fd, data)
                    make_read_only(fd)
                    self._files.sync(fd)
                finally:
                    self._files.disk.close(fd)
                for directory in self._ingest.place(temporary, digest):
                    self._files.sync_directory(directory)
        return digest

    def put_file(self, path: Path) -> File:
        """See `instrument.protocols.Objects`."""
        with store_errors(f"store {path}"):
            return self._ingest.put([path], nobody, steady=False)[0]

    def put_files(self, paths: Sequence[str | Path], told: Told | None = None) -> list[File]:
        """See `instrument.protocols.Objects`."""
        with store_errors(f"store {len(paths)} files"):
            return self._ingest.put(paths, told or nobody, steady=True)

    def identify(self, path: Path) -> File:
        """See `instrument.protocols.Objects`."""
        with store_errors(f"read {path}"):
            return self._ingest.identify(path)

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
            stream = self._open(path, digest)
            with ExitStack() as on_error:
                on_error.callback(stream.close)
                self._check(stream.fileno(), digest)
                on_error.pop_all()
        return stream

    def contains(self, digest: str) -> bool:
        """See `instrument.protocols.Objects`."""
        return self.path_of(digest) is not None

    def path_of(self, digest: str) -> Path | None:
        """See `instrument.protocols.Objects`."""
        path = self._layout.object_path(digest)
        return path if path is not None and is_regular(path) else None

    def _open(self, path: Path, digest: str) -> BinaryIO:
        """The object `digest`, which lies at `path`, or in the trash while gc thinks it over."""
        for place in (path, self._layout.trash / path.name, path):
            with suppress(FileNotFoundError):
                return os.fdopen(open_below(self._layout.root, place), "rb")
        from instrument_local.upkeep.tombstones import obituary

        raise NotFoundError(obituary(self._layout, digest))

    def _check(self, fd: int, digest: str) -> None:
        """Hash the object that is open as `fd`, if it is not known for what it is."""
        seen_ns, status = time.time_ns(), os.fstat(fd)
        key = key_of(status)
        if self._checked.get(key) == digest:
            return
        found = f"sha256:{hash_file(fd)}"
        if found != digest:
            raise IntegrityError(
                f"object {digest} has changed: found {found}; restore it from a copy"
            )
        if status.st_size >= _LARGE_BYTES and is_settled(status, seen_ns):
            self._checked[key] = digest
