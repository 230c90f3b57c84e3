"""The build id that the linker wrote into an ELF file (elf(5), section "Notes")."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

_MAGIC: Final = b"\x7fELF"
_HEAD_BYTES: Final = 64
_PT_NOTE: Final = 4
_NT_GNU_BUILD_ID: Final = 3
_MAX_HEADERS: Final = 200
_MAX_NOTE_BYTES: Final = 65_536


def build_id(path: Path) -> str | None:
    """The build id in hexadecimal; None where there is none, or the file is no readable ELF."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - it is open: a pipe must not be waited for
            return next((i for note in _notes(file) for i in _ids(*note)), None)
    except (OSError, struct.error, ValueError):
        return None


def _notes(file: BinaryIO) -> Iterator[tuple[bytes, str]]:
    """The segments of notes, each with the byte order."""
    head = file.read(_HEAD_BYTES)
    if len(head) < _HEAD_BYTES or head[:4] != _MAGIC:
        return
    is_64 = head[4] == 2  # noqa: PLR2004 - ELFCLASS64
    order = "<" if head[5] == 1 else ">"
    if is_64:
        (offset,) = struct.unpack_from(order + "Q", head, 32)
        size, count = struct.unpack_from(order + "HH", head, 54)
        layout, positions = order + "IIQQQQ", (0, 2, 5)  # type, offset, size in the file
    else:
        (offset,) = struct.unpack_from(order + "I", head, 28)
        size, count = struct.unpack_from(order + "HH", head, 42)
        layout, positions = order + "IIIII", (0, 1, 4)
    file.seek(offset)
    table = file.read(size * min(count, _MAX_HEADERS))
    for index in range(min(count, _MAX_HEADERS)):
        fields = struct.unpack_from(layout, table, index * size)
        kind, start, length = (fields[position] for position in positions)
        if kind == _PT_NOTE:
            file.seek(start)
            yield file.read(min(length, _MAX_NOTE_BYTES)), order


def _ids(notes: bytes, order: str) -> Iterator[str]:
    position = 0
    while position + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from(order + "III", notes, position)
        name_end = position + 12 + -(-name_size // 4) * 4
        if kind == _NT_GNU_BUILD_ID and notes[position + 12 : position + 16] == b"GNU\0":
            yield notes[name_end : name_end + size].hex()
        position = name_end + -(-size // 4) * 4
