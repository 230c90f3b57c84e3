"""Writes a pack: whole, durable and read back before it has a name."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from instrument.errors import StoreError
from instrument_local.files import Files, write_all
from instrument_local.packs.check import flaws_of
from instrument_local.packs.contents import (
    MAGIC,
    Group,
    Member,
    Table,
    encode_head,
    encode_table,
)
from instrument_local.packs.pack import Pack
from instrument_local.packs.shelf import ENDING, Shelf
from instrument_local.packs.zstd import deflate
from instrument_local.run_files import RunFile

GROUP_BYTES = 128 * 1024


class Packable(NamedTuple):
    """A file to be packed, and what it will be in the pack."""

    file: RunFile
    member: Member


def write_pack(files: Files, shelf: Shelf, contents: Iterable[Packable]) -> Pack:
    """Write a pack with `contents`; it is there, durable and right, when this returns.

    Raises:
        StoreError: A file changed meanwhile, or the disk does not give back what was written.
        OSError: It cannot be written. Nothing is left behind.
    """
    fd, temporary = files.temporary()
    with files.discarding(temporary):
        try:
            name = _write(files, fd, contents)
            files.sync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # what is read back is on the disk
        finally:
            files.disk.close(fd)
        for flaw in flaws_of(Pack(temporary), name):
            raise StoreError(
                f"what was packed cannot be read back ({flaw.path.name}: {flaw.found}); nothing "
                "was removed: run `instrument verify`, then pack again"
            )
        files.make_durable_directory(shelf.directory)
        target = shelf.directory / f"{name}{ENDING}"
        files.place(temporary, target)
    return Pack(target)


def _write(files: Files, fd: int, contents: Iterable[Packable]) -> str:
    """Write the whole pack to `fd`; its SHA-256 in hex."""
    whole, offset, groups = hashlib.sha256(), 0, []

    def put(data: bytes) -> None:
        nonlocal offset
        write_all(files.disk, fd, data)
        whole.update(data)
        offset += len(data)

    put(MAGIC)
    for group in _grouped(contents):
        start, frame = offset, hashlib.sha256()
        head = encode_head(tuple(each.member for each in group))
        for data in deflate(_raw(head, group)):
            frame.update(data)
            put(data)
        raw_size = len(head) + sum(each.member.size_bytes for each in group)
        runs = tuple(dict.fromkeys(each.member.run_id for each in group))
        groups.append(Group(start, offset - start, raw_size, frame.hexdigest(), runs))
    put(encode_table(Table(tuple(groups))))
    return whole.hexdigest()


def _grouped(contents: Iterable[Packable]) -> Iterator[list[Packable]]:
    """`contents` in groups of bounded length; what is longer stands alone."""
    group: list[Packable] = []
    size = 0
    for each in contents:
        if group and size + each.member.size_bytes > GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(each)
        size += each.member.size_bytes
    if group:
        yield group


def _raw(head: bytes, group: list[Packable]) -> Iterator[bytes]:
    yield head
    for each in group:
        yield from each.file.chunks()
