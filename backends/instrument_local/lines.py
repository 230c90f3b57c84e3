"""The lines of a journal: what one is, how they are chained, how they are read.

    {"seq":0,"at":"2026-11-21T04:18:45Z","record":{"kind":"params",…},"chain":"<64 hex>"}

``chain`` is the SHA-256 of the previous line's chain (32 bytes) and of this line's bytes before
``,"chain":"``. The first line follows the *genesis*, which names the run and the journal: no line
can be changed, moved, dropped or carried over to another journal unseen.
"""

import functools
import hashlib
import operator
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec

from instrument.errors import IntegrityError
from instrument.records import KINDS, Entry, Problem, Record, decode_record

MARK: Final = b',"chain":"'
END: Final = b'"}\n'
TAIL_LENGTH: Final = len(MARK) + 64 + len(END)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Line(msgspec.Struct, gc=False):
    """A line before it is chained."""

    seq: int
    at: datetime
    record: Record | None


encode_line: Final = msgspec.json.Encoder().encode
encode_line_into: Final = msgspec.json.Encoder().encode_into


def genesis(run_id: str, writer: str) -> bytes:
    """What the first line of journal `writer` follows."""
    return hashlib.sha256(f"instrument journal 1\n{run_id}\n{writer}\n".encode()).digest()


def chain_of(body: bytes, previous: bytes) -> bytes:
    """Chain of the line whose bytes before ``,"chain":"`` are `body`."""
    return hashlib.sha256(previous + body).digest()


def finish_line(body: bytes, chain: bytes) -> bytes:
    """The whole line."""
    return b"%b%b%b%b" % (body, MARK, chain.hex().encode(), END)


def stated_chain(line: bytes) -> str:
    """The chain that `line` says it has; anything where it is no line of a journal."""
    return line[-len(END) - 64 : -len(END)].decode("ascii", "replace")


def entries_of(lines: Iterable[bytes], writer: str) -> Iterator[Entry]:
    """The entries of the lines of journal `writer`.

    A torn last line is passed over: its record was never acknowledged. In the place of any other
    line that does not parse stands a `Problem`, so that the rest can be read and the loss shows.
    """
    at = _EPOCH
    for number, line in enumerate(lines):
        if not line.endswith(b"\n"):
            return
        try:
            entry = parse_line(line, writer)
        except IntegrityError as error:
            doing = f"read line {number + 1} of journal {writer}"
            problem = Problem(doing=doing, error="IntegrityError", message=str(error)[:500])
            entry = Entry(writer=writer, seq=number, at=at, record=problem)
        at = entry.at
        yield entry


def parse_line(line: bytes, writer: str) -> Entry:
    """The entry in `line` of journal `writer`; its chain is not checked.

    Raises:
        IntegrityError: `line` is no line of a journal.
    """
    try:
        known = _known_decoder.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return _parse_unknown(line, writer)
    return Entry(writer=writer, seq=known.seq, at=known.at, record=known.record)


def _parse_unknown(line: bytes, writer: str) -> Entry:
    """As `parse_line`, for kinds of record that a newer version wrote."""
    try:
        raw = _raw_decoder.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise IntegrityError(f"a line does not parse: {error}") from error
    return Entry(writer=writer, seq=raw.seq, at=raw.at, record=decode_record(raw.record))


# Times with and without an offset cannot be compared, and ours all have one.
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_AnyRecord: Any = functools.reduce(operator.or_, KINDS.values())
_known_decoder: Final[Any] = msgspec.json.Decoder(
    msgspec.defstruct("_Known", [("seq", int), ("at", _Moment), ("record", _AnyRecord)])
)


class _Raw(msgspec.Struct):
    seq: int
    at: _Moment
    record: msgspec.Raw


_raw_decoder: Final = msgspec.json.Decoder(_Raw)
