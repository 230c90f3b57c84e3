"""Reads one pack: which runs are in it, and their files."""

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Final

from instrument.errors import IntegrityError
from instrument_local.files import READ
from instrument_local.packs.contents import (
    MAGIC,
    MAX_HEAD_BYTES,
    MAX_TABLE_BYTES,
    TRAILER_BYTES,
    Group,
    Member,
    Table,
    decode_head,
    decode_table,
)
from instrument_local.packs.zstd import CHUNK_BYTES, inflate
from instrument_local.run_files import lines_of

# A group up to this length is kept in memory, so that the files in it are unpacked once for all;
# a longer one has one file.
_SMALL_BYTES: Final = 1 << 20
# So often the bytes of the table are searched before they are made a table to look things up in.
_SEARCHES: Final = 3


class Pack:
    """A pack. Any method may raise OSError, and IntegrityError when the pack is damaged.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._searches = 0
        self._kept: tuple[Group, bytes] | None = None

    @cached_property
    def table(self) -> Table:
        """The table."""
        line, begin = self._line
        with _naming(self.path):
            return decode_table(line, begin)

    @cached_property
    def _line(self) -> tuple[bytes, int]:
        """The line that holds the table, and where it begins."""
        fd = os.open(self.path, READ)
        with os.fdopen(fd, "rb") as stream, _naming(self.path):
            size = os.fstat(fd).st_size
            if stream.read(len(MAGIC)) != MAGIC:
                raise IntegrityError("it does not begin as a pack")
            stream.seek(max(0, size - TRAILER_BYTES))
            trailer = stream.read(TRAILER_BYTES)
            length = int(trailer[:-1]) if trailer[:-1].isdigit() else -1
            begin = size - TRAILER_BYTES - length
            if not (0 < length <= MAX_TABLE_BYTES and begin >= len(MAGIC)):
                raise IntegrityError("its end is damaged")
            stream.seek(begin)
            return stream.read(length), begin

    @cached_property
    def _groups(self) -> dict[str, list[Group]]:
        groups: dict[str, list[Group]] = {}
        for group in self.table.groups:
            for run_id in group.runs:
                groups.setdefault(run_id, []).append(group)
        return groups

    @property
    def run_ids(self) -> list[str]:
        """Ids of the runs in it, sorted."""
        return list(self._groups)

    def groups_of(self, run_id: str) -> list[Group]:
        """The groups that hold files of the run; none when it is not in this pack.

        A pack of which that cannot be read has none; `verify` tells.
        """
        self._searches += 1
        if self._searches > _SEARCHES:
            with suppress(IntegrityError, OSError):
                return self._groups.get(run_id, [])
        try:
            is_named = f'"{run_id}"'.encode() in self._line[0]
        except (IntegrityError, OSError):
            return []
        return self._groups.get(run_id, []) if is_named else []

    def files_of(self, run_id: str) -> "list[PackedFile]":
        """The files of the run."""
        files = (file for group in self.groups_of(run_id) for file in self.files(group))
        return [file for file in files if file.run_id == run_id]

    def files(self, group: Group) -> "list[PackedFile]":
        """The files in `group`."""
        line = self._head(group)
        with _naming(self.path):
            members = decode_head(line, group)
        offset, found = len(line), []
        for member in members:
            found.append(PackedFile(self, group, member, offset))
            offset += member.size_bytes
        return found

    def _head(self, group: Group) -> bytes:
        """The first line of `group`, or as much of it as a head may have."""
        begun = b""
        for piece in self.raw(group):
            line, newline, _ = piece.partition(b"\n")
            begun += line + newline
            if newline or len(begun) > MAX_HEAD_BYTES:
                break
        return begun

    def raw(self, group: Group) -> Iterator[bytes]:
        """What the frame of `group` holds, in pieces; if they come to an end, it was whole."""
        if self._kept is not None and self._kept[0] is group:
            return iter((self._kept[1],))
        if group.raw_size_bytes <= _SMALL_BYTES:
            whole = b"".join(self._inflate(group))
            self._kept = (group, whole)
            return iter((whole,))
        return self._inflate(group)

    def _inflate(self, group: Group) -> Iterator[bytes]:
        with _naming(self.path):
            yield from inflate(self._frame(group), group.raw_size_bytes)

    def _frame(self, group: Group) -> Iterator[bytes]:
        sha256, left = hashlib.sha256(), group.size_bytes
        with os.fdopen(os.open(self.path, READ), "rb", buffering=0) as stream:
            stream.seek(group.offset)
            while left and (data := stream.read(min(left, CHUNK_BYTES))):
                left -= len(data)
                sha256.update(data)
                if not left and sha256.hexdigest() != group.sha256:
                    raise IntegrityError(f"the group at {group.offset} was changed")
                yield data


class PackedFile:
    """A file in a pack (see `instrument_local.run_files.RunFile`)."""

    is_packed = True

    def __init__(self, pack: Pack, group: Group, member: Member, offset: int) -> None:
        self._pack = pack
        self._group = group
        self._offset = offset
        self.member = member
        self.run_id = member.run_id
        self.pack_name = pack.path.name
        self.path = pack.path / member.path
        self.name = self.path.name
        self.stem = self.path.stem
        self.size_bytes = member.size_bytes

    def read(self) -> bytes:
        """See `RunFile`."""
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """See `RunFile`."""
        skip, left = self._offset, self.size_bytes
        for piece in self._pack.raw(self._group):
            wanted = piece[skip : skip + left]
            skip -= min(skip, len(piece))
            left -= len(wanted)
            if wanted:
                yield wanted

    def lines(self) -> Iterator[bytes]:
        """See `RunFile`."""
        if self._group.raw_size_bytes <= _SMALL_BYTES:
            return iter(io.BytesIO(self.read()))
        return lines_of(self.chunks())


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the pack in what its parts say of their damage."""
    try:
        yield
    except IntegrityError as error:
        raise IntegrityError(f"{path} is damaged: {error}") from error
