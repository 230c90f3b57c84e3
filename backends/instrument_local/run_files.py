"""A file of a run, wherever it lies: by itself, or in a pack."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

from instrument_local.files import READ

CHUNK_BYTES = 1 << 20


class RunFile(Protocol):
    """A journal or a seal. Anything that reads may raise OSError or IntegrityError."""

    @property
    def path(self) -> Path:
        """Where it lies, to show; in a pack that is no path to open."""

    @property
    def name(self) -> str:
        """Its name: ``run.json``, ``<writer>.jsonl``."""

    @property
    def stem(self) -> str:
        """Its name up to the last dot: of a journal, the writer."""

    @property
    def is_packed(self) -> bool:
        """Whether it lies in a pack; then it never changes."""

    @property
    def size_bytes(self) -> int:
        """How long it is now."""

    def read(self) -> bytes:
        """All of it."""

    def chunks(self) -> Iterator[bytes]:
        """All of it, in pieces of bounded length."""

    def lines(self) -> Iterator[bytes]:
        """Its lines; only a torn last one has no newline at its end."""


class LooseFile:
    """A file by itself. Symbolic links are not followed.

    Args:
        path: Where it lies.
        moved: Finds it again when it is not there any more, since packing moves files while others
            read; None when it is gone.
    """

    is_packed = False

    def __init__(self, path: Path, moved: "Callable[[], RunFile | None]") -> None:
        self.path = path
        self.name = path.name
        self.stem = path.stem
        self._moved = moved

    @property
    def size_bytes(self) -> int:
        """See `RunFile`."""
        try:
            return self.path.lstat().st_size
        except FileNotFoundError:
            return self._found_again().size_bytes

    def read(self) -> bytes:
        """See `RunFile`."""
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """See `RunFile`."""
        try:
            stream = os.fdopen(os.open(self.path, READ), "rb", buffering=0)
        except FileNotFoundError:
            yield from self._found_again().chunks()
            return
        with _closing(stream):
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk

    def lines(self) -> Iterator[bytes]:
        """See `RunFile`."""
        try:
            stream = os.fdopen(os.open(self.path, READ), "rb")
        except FileNotFoundError:
            yield from self._found_again().lines()
            return
        with _closing(stream):
            for line in stream:  # noqa: UP028 - `yield from` would close the stream itself
                yield line

    def _found_again(self) -> RunFile:
        found = self._moved()
        if found is None:
            raise FileNotFoundError(2, os.strerror(2), str(self.path))
        return found


class MemoryFile:
    """A file that is in memory.

    Args:
        path: Where it lies or will lie, to show.
        data: What is in it.
    """

    is_packed = False

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self.name = path.name
        self.stem = path.stem
        self.size_bytes = len(data)
        self._data = data

    def read(self) -> bytes:
        """See `RunFile`."""
        return self._data

    def chunks(self) -> Iterator[bytes]:
        """See `RunFile`."""
        yield self._data

    def lines(self) -> Iterator[bytes]:
        """See `RunFile`."""
        return lines_of(self.chunks())


@contextmanager
def _closing(stream: IO[bytes]) -> Iterator[None]:
    """Close what was read, whatever the system says to that: nothing can be lost."""
    try:
        yield
    finally:
        with suppress(OSError):
            stream.close()


def lines_of(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The lines in `chunks`, each with its newline, the last as it is."""
    begun: list[bytes] = []
    for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            yield b"".join((*begun, line, b"\n"))
            begun = []
        if rest:
            begun.append(rest)
    if begun:
        yield b"".join(begun)
