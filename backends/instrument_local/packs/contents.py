"""What a pack says of itself: its groups at its end, the files of each group at its start.

    instrument pack 1, newline
    a zstd frame for each group: a line {"members":[…]}, then the bytes of the members, in order
    stamped: {"groups":[…],"check":"…"}, newline
    the length of that line: 16 digits, newline

A pack is named by its SHA-256. So every byte is covered by the name, each frame by its digest in
the table, each member by its digest in the group, and the table by its check.
"""

import re
from typing import Final

import msgspec

from instrument.errors import IntegrityError
from instrument_local.stamps import stamp, unstamp

MAGIC: Final = b"instrument pack 1\n"
TRAILER_BYTES: Final = 17
# A journal, whose chains cannot be compressed, stays far below; a bomb does not.
MAX_RATIO: Final = 1000
MAX_TABLE_BYTES: Final = 64 << 20
MAX_HEAD_BYTES: Final = 16 << 20
_PATH: Final = re.compile(
    r"([0-9]{6})/([A-Za-z0-9][A-Za-z0-9_-]{3,63})/([A-Za-z0-9][A-Za-z0-9._-]*\.jsonl?)"
)


class Group(msgspec.Struct, frozen=True):
    """Some files that are compressed together, or one long one.

    Attributes:
        offset: Where its frame begins in the pack.
        size_bytes: Length of the frame.
        raw_size_bytes: Length of what the frame holds.
        sha256: Of the frame.
        runs: Ids of the runs they belong to.
    """

    offset: int
    size_bytes: int
    raw_size_bytes: int
    sha256: str
    runs: tuple[str, ...]


class Member(msgspec.Struct, frozen=True):
    """A file in a group.

    Attributes:
        path: Where it lay, from ``runs/`` on.
        size_bytes: Its length.
        sha256: Of its bytes.
    """

    path: str
    size_bytes: int
    sha256: str

    @property
    def run_id(self) -> str:
        """The run it belongs to."""
        return self.path.split("/")[1]


class Head(msgspec.Struct, frozen=True):
    """First line of what a group holds."""

    members: tuple[Member, ...]


class Table(msgspec.Struct, frozen=True):
    """The table of a pack."""

    groups: tuple[Group, ...]


def can_be_packed(path: str) -> bool:
    """Whether `path`, from ``runs/`` on, is that of a journal or a seal."""
    return _PATH.fullmatch(path) is not None


def encode_table(table: Table) -> bytes:
    """The table and the trailer, as they end a pack."""
    line = stamp(msgspec.json.encode(table))
    return b"%b%016d\n" % (line, len(line))


def decode_table(line: bytes, end: int) -> Table:
    """The table in `line`, which begins at offset `end` of its pack.

    Raises:
        IntegrityError: It is damaged, or its groups do not fill the pack, one behind the other.
    """
    try:
        table = msgspec.json.decode(unstamp(line), type=Table)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise IntegrityError(f"its table is damaged: {error}") from error
    offset = len(MAGIC)
    for group in table.groups:
        if group.offset != offset or not 0 < group.raw_size_bytes <= MAX_RATIO * group.size_bytes:
            raise IntegrityError(f"its table is damaged: the group at {group.offset}")
        offset += group.size_bytes
    if offset != end:
        raise IntegrityError(f"its groups end at {offset}, its table begins at {end}")
    return table


def encode_head(members: tuple[Member, ...]) -> bytes:
    """First line of a group."""
    return msgspec.json.encode(Head(members)) + b"\n"


def decode_head(line: bytes, group: Group) -> tuple[Member, ...]:
    """The members that the first line of `group` lists.

    Raises:
        IntegrityError: They are not files of the group's runs, or do not fill it.
    """
    try:
        members = msgspec.json.decode(line, type=Head).members
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise IntegrityError(f"the head of the group at {group.offset}: {error}") from error
    for member in members:
        if member.size_bytes < 0 or not can_be_packed(member.path):
            raise IntegrityError(f"{member.path[:100]!r} cannot be the path of a run's file")
    if {member.run_id for member in members} != set(group.runs):
        raise IntegrityError(f"the group at {group.offset} holds other runs than its table says")
    if len(line) + sum(member.size_bytes for member in members) != group.raw_size_bytes:
        raise IntegrityError(f"the members do not fill the group at {group.offset}")
    return members
