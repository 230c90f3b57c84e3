"""Writes a bundle: aside, whole and durable before it has its name."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain, islice
from typing import Final, NamedTuple, Protocol

from instrument.audit import Who
from instrument.errors import IntegrityError
from instrument_local.bundles.contents import (
    MAGIC,
    Coding,
    Content,
    LeftOut,
    Manifest,
    Part,
    encode_manifest,
)
from instrument_local.copying import Told
from instrument_local.files import Disk, write_all
from instrument_local.packs.contents import MAX_RATIO
from instrument_local.packs.zstd import deflate

GROUP_BYTES: Final = 128 * 1024
# What a sample of it cannot be pressed below stays as it is: weights.
_WORTH_IT: Final = 0.9


class Readable(Protocol):
    """Something with bytes."""

    def chunks(self) -> Iterator[bytes]:
        """The bytes, in pieces of bounded length."""


class Source(NamedTuple):
    """A file on its way into a bundle.

    Attributes:
        path: Its path in the bundle.
        size_bytes: Its length.
        sha256: What its bytes must be, in hex; None where nothing says.
        file: The bytes.
    """

    path: str
    size_bytes: int
    sha256: str | None
    file: Readable


class Head(NamedTuple):
    """What a manifest says besides its parts. Fields as in `Manifest`."""

    origin: str
    at: datetime
    who: Who
    runs: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


class Writer:
    """Writes one bundle.

    Args:
        disk: Writes.
        fd: An empty file.
        told: Is told how many bytes of the contents are done.
    """

    def __init__(self, disk: Disk, fd: int, told: Told) -> None:
        self._disk = disk
        self._fd = fd
        self._told = told
        self._whole = hashlib.sha256()

    def write(self, head: Head, sources: Iterable[Source]) -> str:
        """Write everything; the digest of the bundle.

        Raises:
            IntegrityError: A source is not what it should be.
            OSError: It cannot be written.
        """
        self._put(MAGIC)
        parts = tuple(map(self._write_part, _grouped(sources)))
        self._put(encode_manifest(Manifest(**head._asdict(), parts=parts)))
        return f"sha256:{self._whole.hexdigest()}"

    def _put(self, data: bytes) -> None:
        write_all(self._disk, self._fd, data)
        self._whole.update(data)

    def _write_part(self, group: list[Source]) -> Part:
        start, before = os.lseek(self._fd, 0, os.SEEK_CUR), self._whole.copy()
        if (packed := self._write_packed(group)) is not None:
            return packed
        # Smaller than any reader would believe: once more, as it is.
        os.ftruncate(self._fd, start)
        os.lseek(self._fd, start, os.SEEK_SET)
        self._whole = before
        reading = _Reading(group)
        return self._stored(Coding.RAW, reading.pieces(), reading)

    def _write_packed(self, group: list[Source]) -> Part | None:
        """The part, compressed if that is worth it; None when it shrinks beyond belief."""
        reading = _Reading(group)
        pieces = reading.pieces()
        sample = list(islice(pieces, 1))
        size = sum(map(len, sample))
        everything = chain(sample, pieces)
        if sum(map(len, deflate(sample))) >= _WORTH_IT * size:
            return self._stored(Coding.RAW, everything, reading)
        part = self._stored(Coding.ZSTD, deflate(everything), reading)
        return part if part.raw_size_bytes <= MAX_RATIO * part.size_bytes else None

    def _stored(self, coding: Coding, data: Iterable[bytes], reading: "_Reading") -> Part:
        sha256, size = hashlib.sha256(), 0
        for piece in data:
            self._put(piece)
            sha256.update(piece)
            size += len(piece)
        self._told(sum(content.size_bytes for content in reading.contents))
        return Part(coding, size, sha256.hexdigest(), tuple(reading.contents))


class _Reading:
    """Reads a group once.

    Attributes:
        contents: What was read so far.
    """

    def __init__(self, group: list[Source]) -> None:
        self._group = group
        self.contents: list[Content] = []

    def pieces(self) -> Iterator[bytes]:
        for path, size, expected, file in self._group:
            sha256, read = hashlib.sha256(), 0
            for chunk in file.chunks():
                sha256.update(chunk)
                read += len(chunk)
                yield chunk
            found = sha256.hexdigest()
            if read != size or expected not in {None, found}:
                raise IntegrityError(
                    f"{path} is not as it was (sha256:{found}, {read} bytes); run "
                    "`instrument verify`, restore it from a copy, and export again"
                )
            self.contents.append(Content(path, size, found))


def _grouped(sources: Iterable[Source]) -> Iterator[list[Source]]:
    """`sources` in groups of bounded length; what is longer stands alone."""
    group: list[Source] = []
    size = 0
    for source in sources:
        if group and size + source.size_bytes > GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(source)
        size += source.size_bytes
    if group:
        yield group
