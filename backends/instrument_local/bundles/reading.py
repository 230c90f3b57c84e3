"""Reads a bundle. Nothing it says is believed: not a size, not a digest, not a path."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from instrument.errors import InstrumentError, IntegrityError, NotFoundError
from instrument_local.bundles.contents import (
    MAGIC,
    MAX_GROUP_BYTES,
    Coding,
    Content,
    Manifest,
    Part,
    check_magic,
    decode_manifest,
)
from instrument_local.files import store_errors
from instrument_local.packs.contents import MAX_TABLE_BYTES, TRAILER_BYTES
from instrument_local.packs.zstd import CHUNK_BYTES, inflate
from instrument_local.run_files import lines_of

MAX_LINE_BYTES: Final = 64 << 20


class Bundle:
    """A bundle that is open. Any method may raise OSError, and IntegrityError when it is damaged.

    Args:
        path: The file; a symbolic link is followed, since the user named it.

    Raises:
        NotFoundError: There is no such file.
        IntegrityError: It is no bundle, or its manifest is damaged.
        StoreVersionError: A newer version wrote it. Nothing of its contents was read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            raise NotFoundError(f"{path} does not exist; give the path of a bundle") from None
        try:
            status = os.fstat(self.fd)
            if not stat.S_ISREG(status.st_mode):
                raise NotFoundError(  # noqa: TRY301 - as the failures below
                    f"{path} is no regular file; give the path of a bundle"
                )
            self.size_bytes = status.st_size
            with self.naming():
                self.manifest = self._read_manifest()
        except BaseException:
            self.close()
            raise
        self._offsets = self._find_parts()
        self._kept: tuple[Part, bytes] | None = None

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def contents(self) -> Iterator[Content]:
        """What is in it, in order."""
        return (content for part in self.manifest.parts for content in part.contents)

    def files(self) -> "Iterator[BundledFile]":
        """The same, to be read."""
        return map(self.file, self.contents())

    def file(self, content: Content) -> "BundledFile":
        """`content`, to be read."""
        return BundledFile(self, content)

    def chunks(self, content: Content) -> Iterator[bytes]:
        """The bytes of `content`; if they come to an end, they are what its digest says."""
        part, skip = self._places[content.path]
        left, sha256 = content.size_bytes, hashlib.sha256()
        with self.naming():
            for piece in self._raw(part):
                wanted = piece[skip : skip + left]
                skip -= min(skip, len(piece))
                left -= len(wanted)
                if wanted:
                    sha256.update(wanted)
                    if not left:
                        self._compare(content, sha256.hexdigest())
                    yield wanted
            if not content.size_bytes:
                self._compare(content, sha256.hexdigest())

    def _compare(self, content: Content, found: str) -> None:
        if found != content.sha256:
            raise IntegrityError(f"{content.path} is sha256:{found}, not sha256:{content.sha256}")

    def _find_parts(self) -> dict[int, int]:
        """Where each part begins, by its identity; and where each content lies."""
        offsets, offset = {}, len(MAGIC)
        self._places: dict[str, tuple[Part, int]] = {}
        for part in self.manifest.parts:
            offsets[id(part)] = offset
            offset += part.size_bytes
            inside = 0
            for content in part.contents:
                self._places[content.path] = part, inside
                inside += content.size_bytes
        return offsets

    def _read_manifest(self) -> Manifest:
        check_magic(os.pread(self.fd, len(MAGIC), 0))
        trailer = os.pread(self.fd, TRAILER_BYTES, max(0, self.size_bytes - TRAILER_BYTES))
        digits = trailer[:-1]
        is_whole = len(trailer) == TRAILER_BYTES and digits.isdigit() and trailer[-1:] == b"\n"
        length = int(digits) if is_whole else -1
        begin = self.size_bytes - TRAILER_BYTES - length
        if not (0 < length <= MAX_TABLE_BYTES and begin >= len(MAGIC)):
            raise IntegrityError(
                f"its end is damaged, or was cut off at offset {self.size_bytes}; copy it again"
            )
        return decode_manifest(os.pread(self.fd, length, begin), begin)

    def _raw(self, part: Part) -> Iterator[bytes]:
        """What `part` holds, in pieces of bounded length."""
        if self._kept is not None and self._kept[0] is part:
            return iter((self._kept[1],))
        pieces = self._stored(part)
        if part.coding is Coding.ZSTD:
            pieces = inflate(pieces, part.raw_size_bytes)
        if part.raw_size_bytes > MAX_GROUP_BYTES:
            return pieces
        self._kept = (part, b"".join(pieces))
        return iter((self._kept[1],))

    def _stored(self, part: Part) -> Iterator[bytes]:
        sha256, offset, left = hashlib.sha256(), self._offsets[id(part)], part.size_bytes
        begin = offset
        while left and (data := os.pread(self.fd, min(left, CHUNK_BYTES), offset)):
            offset += len(data)
            left -= len(data)
            sha256.update(data)
            if left:
                yield data
        if left or sha256.hexdigest() != part.sha256:
            raise IntegrityError(
                f"the part at offset {begin} was changed or cut off; copy it again"
            )
        if part.size_bytes:
            yield data

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Let what a block says of the bundle begin with its name."""
        try:
            with store_errors(f"read {self.path}"):
                yield
        except InstrumentError as error:
            said, named = str(error), f"{self.path} is not used: "
            if said.startswith((f"{self.path} ", f"{self.path}/", f"cannot read {self.path}:")):
                raise
            _, is_named, reason = said.partition(named)  # by a block inside this one
            raise type(error)(named + (reason if is_named else said)) from error


class BundledFile:
    """A file in a bundle (see `instrument_local.run_files.RunFile`)."""

    is_packed = True

    def __init__(self, bundle: Bundle, content: Content) -> None:
        self._bundle = bundle
        self.content = content
        self.path = bundle.path / content.path
        self.name = content.name
        self.stem = self.name.rpartition(".")[0]
        self.size_bytes = content.size_bytes

    @property
    def month(self) -> str:
        """The directory that the directory of its run lies in."""
        return self.path.parent.parent.name

    def chunks(self) -> Iterator[bytes]:
        """See `RunFile`."""
        return self._bundle.chunks(self.content)

    def read(self) -> bytes:
        """See `RunFile`."""
        if self.size_bytes > MAX_LINE_BYTES:
            raise IntegrityError(f"{self.path} is longer than {MAX_LINE_BYTES} bytes")
        return b"".join(self.chunks())

    def lines(self) -> Iterator[bytes]:
        """See `RunFile`."""
        return lines_of(_bounded(self.chunks(), self.path))


def _bounded(chunks: Iterator[bytes], path: Path) -> Iterator[bytes]:
    """`chunks`, in which no line is so long that it would fill the memory."""
    length = 0
    for chunk in chunks:
        newline = chunk.rfind(b"\n")
        length = len(chunk) - newline - 1 if newline >= 0 else length + len(chunk)
        if length > MAX_LINE_BYTES:
            raise IntegrityError(f"{path} has a line of more than {MAX_LINE_BYTES} bytes")
        yield chunk
