"""A text without its secrets: each line stays where it is, with a mark in place of a secret."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from instrument.capture.literals import BY_NAME, BY_VALUE, Secret, find_secrets
from instrument.capture.manifest import RedactedLines
from instrument.redaction import REDACTED

_EDGES: Final = b" \t\r\"'(),#>|"
"""What stands around a line of a longer secret, and stays."""
_NAMED: Final = 5


class Part(NamedTuple):
    """What stands on one line of a secret.

    Attributes:
        line: Number of the line, from 1.
        start: Offset of its first byte.
        end: Offset behind its last byte.
        rule: What told that it is one.
    """

    line: int
    start: int
    end: int
    rule: str


def secret_parts(
    data: bytes, lines: Collection[int] | None = None, *, is_settings: bool = False
) -> list[Part]:
    """What secrets stand on `lines` of `data`, or on all; they may begin before and end behind."""
    if lines is None:
        return list(_parts(data, find_secrets(data, is_settings=is_settings)))
    if not lines:
        return []
    starts = line_starts(data)
    start, end = starts[min(lines) - 1], starts[max(lines)]
    found = find_secrets(data, start, end, is_settings=is_settings)
    return [part for part in _parts(data, found) if part.line in lines]


def without(data: bytes, parts: Iterable[Part]) -> bytes:
    """`data` with a mark in the place of each of `parts`."""
    kept, done = [], 0
    for part in parts:
        kept += [data[done : part.start], _mark(part.rule)]
        done = part.end
    return b"".join([*kept, data[done:]])


def redacted_lines(parts: Sequence[Part]) -> tuple[RedactedLines, ...]:
    """Which lines `parts` stand on, as the manifest names them."""
    found: list[RedactedLines] = []
    for part in parts:
        first = part.line
        if found and found[-1].rule == part.rule and part.line - found[-1].last_line <= 1:
            first = found.pop().first_line
        found.append(RedactedLines(first_line=first, last_line=part.line, rule=part.rule))
    return tuple(found)


def where(redacted: Sequence[RedactedLines]) -> str:
    """The lines `redacted` for people: ``line 3``, ``lines 3-9, 12``."""
    named = [each.span for each in redacted]
    is_one = len(redacted) == 1 and redacted[0].first_line == redacted[0].last_line
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return f"{'line' if is_one else 'lines'} {', '.join(named[:_NAMED])}{more}"


def line_starts(data: bytes) -> list[int]:
    """Where each line of `data` begins, and where the last one ends."""
    starts = [0, *(match.end() for match in re.finditer(b"\n", data))]
    return starts if starts[-1] == len(data) else [*starts, len(data)]


def _parts(data: bytes, secrets: Iterable[Secret]) -> Iterator[Part]:
    """`secrets`, line by line."""
    line, at = 1, 0
    for start, end, rule in secrets:
        line += data.count(b"\n", at, start)
        at = begin = start
        rows = data[start:end].split(b"\n")
        for number, row in enumerate(rows, line):
            inner = row.strip(_EDGES) if len(rows) > 1 else row
            if inner:
                inside = begin + row.index(inner)
                yield Part(number, inside, inside + len(inner), rule)
            begin += len(row) + 1


def _mark(rule: str) -> bytes:
    return REDACTED.encode() if rule in {BY_NAME, BY_VALUE} else f"[redacted {rule}]".encode()
