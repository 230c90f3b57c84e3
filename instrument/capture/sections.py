"""One file's section of a patch, without the secrets that its lines would show.

What is added loses them. What the commit has already comes from there again: a line of it with a
secret is no context, and a section that would take such a line away tells by offsets alone what
stays of the old content, as git's binary patches do.
"""

import base64
import hashlib
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

import msgspec

from instrument.capture.literals import has_settings, holds_secret
from instrument.capture.secret_lines import Part, line_starts, secret_parts, without

_LINE: Final = re.compile(rb"[^\n]*\n(?:\\[^\n]*\n)?")
"""A line of a hunk, with the note that no newline ends it."""
_HUNK: Final = re.compile(rb"@@ -([0-9]+)(,0)?(?:,[0-9]+)? \+([0-9]+)(,0)?(?:,[0-9]+)? @@")
_NO_NEWLINE: Final = b"\n\\ No newline at end of file\n"
_SECTION: Final = re.compile(rb"^(?=diff --git )", re.MULTILINE)
_RENAMED: Final = re.compile(
    rb"diff --git .*\n(?:similarity .*\n|(?:old|new) mode .*\n)*"
    rb"rename from .*\nrename to (.*)"
)
_FUNCTION: Final = re.compile(rb"^(@@ [-+0-9, ]+ @@).*", re.MULTILINE)
"""Behind the head of a hunk stands a line from anywhere above it."""
_INDEX: Final = re.compile(rb"^(index [0-9a-f]+\.\.)([0-9a-f]+)", re.MULTILINE)
_BACKWARD: Final = re.compile(rb"(\nGIT binary patch\n(?:.+\n)+\n)(?:.+\n)+\n?")
_MAX_INSERT: Final = 127
_MAX_COPY: Final = 0xFFFFFF
_PACKED_LINE: Final = 52
"""Bytes in a line of a binary patch."""


class Section(NamedTuple):
    """What a patch does to one file.

    Attributes:
        path: Of the file that it makes, changes or deletes.
        head: All before the first hunk.
        hunks: The lines; empty for a binary file, and where no content changes.
    """

    path: bytes
    head: bytes
    hunks: bytes

    @property
    def is_text(self) -> bool:
        """Whether it shows lines."""
        return bool(self.hunks)

    @property
    def is_binary(self) -> bool:
        """Whether it holds bytes."""
        return b"\nGIT binary patch\n" in self.head


class Cleared(NamedTuple):
    """A section without secrets.

    Attributes:
        data: For ``git apply``.
        content: What the file is when it is applied.
        removed: Where in the new content a secret was taken out.
    """

    data: bytes
    content: bytes
    removed: Sequence[Part] = ()


class _Row(NamedTuple):
    """A line of a hunk.

    Attributes:
        kind: ``-``, ``+``, a space, or ``@`` for the head of a hunk.
        old: Its number, or that of the next line, in the old content.
        new: The same, in the new content.
        data: All of it.
    """

    kind: bytes
    old: int
    new: int
    data: bytes


def split_patch(data: bytes) -> list[Section]:
    """The sections of the patch `data`, one a file."""
    sections = _SECTION.split(_FUNCTION.sub(rb"\1", data))
    return [_section(each) for each in sections if each]


def clear(section: Section, old: bytes, new: bytes) -> Cleared | None:
    """`section`, of a file that was `old` and is `new`, without secrets; None if one would stay.

    Of a binary file only the old content goes.
    """
    if not section.is_text:
        return Cleared(_BACKWARD.sub(rb"\1", section.head), new)
    new = b"" if b"\ndeleted file mode" in section.head else new
    head, rows = section.head, list(_rows(section.hunks))
    is_settings = has_settings(section.path)
    added = {row.new for row in rows if row.kind == b"+"}
    removed = secret_parts(new, added, is_settings=is_settings)
    content = without(new, removed)
    if _breaks_json(section.path, new, content):
        return None
    if removed:
        head = _INDEX.sub(lambda match: match[1] + _blob_id(content, len(match[2])), head)
        rows = list(_with_lines_of(content, rows, {part.line for part in removed}))
    shown = {row.old for row in rows if row.kind in b"- "}
    hidden = {part.line for part in secret_parts(old, shown, is_settings=is_settings)}
    if any(row.kind == b"-" and row.old in hidden for row in rows):
        data = _in_offsets(head, old, content, [row for row in rows if row.kind in b"-+"])
        rows = [row for row in rows if row.kind == b"+"]
    else:
        rows = list(_without_context(rows)) if hidden else rows
        data = head + b"".join(row.data for row in rows)
    visible = b"".join(row.data[1:] for row in rows)
    if (removed or hidden) and holds_secret(visible, is_settings=is_settings):
        return None
    return Cleared(data, content, removed)


def _breaks_json(path: bytes, before: bytes, after: bytes) -> bool:
    """Whether a notebook, or another file of JSON, could be read `before` the marks alone."""
    is_json = path.lower().endswith((b".ipynb", b".json"))
    return is_json and after != before and _is_json(before) and not _is_json(after)


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data)
    except msgspec.DecodeError:
        return False
    return True


def _section(data: bytes) -> Section:
    at = data.find(b"\n@@ -") + 1 or len(data)
    return Section(_path_of(data), data[:at], data[at:])


def _path_of(section: bytes) -> bytes:
    renamed = _RENAMED.match(section)
    if renamed:
        return _unquoted(renamed[1])
    header = section.partition(b"\n")[0].removeprefix(b"diff --git ")
    return _unquoted(header[: (len(header) - 1) // 2]).removeprefix(b"a/")


def _unquoted(name: bytes) -> bytes:
    return name[1:-1].decode("unicode_escape").encode("latin-1") if name[:1] == b'"' else name


def _rows(hunks: bytes) -> Iterator[_Row]:
    old = new = 0
    for line in _LINE.findall(hunks):
        kind = line[:1]
        head = _HUNK.match(line)
        if head:  # where there are no lines, the number is that of the one before
            old, new = int(head[1]) + bool(head[2]), int(head[3]) + bool(head[4])
        yield _Row(kind, old, new, line)
        old += kind in b"- "
        new += kind in b"+ "


def _with_lines_of(content: bytes, rows: Iterable[_Row], numbers: set[int]) -> Iterator[_Row]:
    """`rows`, of which those that add the lines `numbers` add what `content` has there."""
    starts = line_starts(content)
    for row in rows:
        if row.kind == b"+" and row.new in numbers:
            line = content[starts[row.new - 1] : starts[row.new]]
            ending = b"" if line.endswith(b"\n") else _NO_NEWLINE
            yield row._replace(data=b"+" + line + ending)
        else:
            yield row


def _without_context(rows: Iterable[_Row]) -> Iterator[_Row]:
    """`rows` as hunks of changed lines alone."""
    for is_changed, group in groupby(rows, key=lambda row: row.kind in b"-+"):
        if is_changed:
            changed = list(group)
            before = sum(row.kind == b"-" for row in changed)
            after = len(changed) - before
            _, old, new, _ = changed[0]
            old, new = old - (not before), new - (not after)
            yield _Row(b"@", old, new, b"@@ -%d,%d +%d,%d @@\n" % (old, before, new, after))
            yield from changed


def _in_offsets(head: bytes, old: bytes, new: bytes, changed: Iterable[_Row]) -> bytes:
    """A section that makes `new` of `old` and holds nothing of `old`."""
    head = head.partition(b"\n--- ")[0] + b"\nGIT binary patch\n"
    if not new:
        return head + _packed(b"literal", b"")
    old_starts, new_starts = line_starts(old), line_starts(new)
    delta, at = [_number(len(old)), _number(len(new))], 0
    for row in changed:
        here = old_starts[row.old - 1]
        delta += _copied(at, here)
        if row.kind == b"-":
            at = old_starts[row.old]
        else:
            at = here
            delta += _inserted(new[new_starts[row.new - 1] : new_starts[row.new]])
    return head + _packed(b"delta", b"".join([*delta, *_copied(at, len(old))]))


def _copied(start: int, end: int) -> Iterator[bytes]:
    """The order to copy what the old content has from `start` to `end` (gitformat-pack)."""
    for at in range(start, end, _MAX_COPY):
        size = min(end - at, _MAX_COPY)
        yield struct.pack("<BI", 0xFF, at) + size.to_bytes(3, "little")


def _inserted(data: bytes) -> Iterator[bytes]:
    """The order to add `data`."""
    for at in range(0, len(data), _MAX_INSERT):
        piece = data[at : at + _MAX_INSERT]
        yield bytes([len(piece)]) + piece


def _number(value: int) -> bytes:
    """`value` in seven bits a byte, the lowest first."""
    digits = []
    while value > 0x7F:  # noqa: PLR2004 - seven bits
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def _packed(kind: bytes, data: bytes) -> bytes:
    """`data` as it stands in a binary patch (git's ``diff.c``, ``emit_binary_diff_body``)."""
    packed = zlib.compress(data)
    lines = [packed[at : at + _PACKED_LINE] for at in range(0, len(packed), _PACKED_LINE)]
    body = [_length(line) + base64.b85encode(line, pad=True) + b"\n" for line in lines]
    return b"%s %d\n%s\n" % (kind, len(data), b"".join(body))


def _length(line: bytes) -> bytes:
    """How long a line of a binary patch is: A to Z, then a to z."""
    return b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[len(line) - 1 :][:1]


def _blob_id(content: bytes, digits: int) -> bytes:
    """The id that git gives to `content`."""
    name = "sha1" if digits == 40 else "sha256"  # noqa: PLR2004 - hex digits
    data = b"blob %d\0" % len(content) + content
    return hashlib.new(name, data, usedforsecurity=False).hexdigest().encode()
