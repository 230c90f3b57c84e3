"""Whether a text holds a secret that somebody wrote into it.

Code is full of names such as ``token`` and ``api_key``; only a literal behind one counts, never a
call, a look-up or another name.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

from instrument.redaction.forms import holds_form
from instrument.redaction.known import holds_known
from instrument.redaction.plain import is_secret_literal, is_secret_word

_CHUNK: Final = 65_536
"""Searched at once: a search keeps the other threads of the user's process waiting."""
_OVERLAP: Final = 16_384
_LINES_BYTES: Final = 500_000
_HUNK: Final = re.compile(rb"@@ -[0-9,]+ \+([0-9]+)")


def first_secret(lines: Iterable[tuple[int, bytes]]) -> int | None:
    """The number of the first of `lines` that holds a secret by itself.

    None where none does (it goes over several lines), or it takes too long to look at them all.
    """
    total = 0
    for number, line in lines:
        if holds_secret(line):
            return number
        total += len(line)
        if total > _LINES_BYTES:
            break
    return None


def added_lines(hunks: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines that the hunks of one file add, with their numbers in the file as it is now."""
    number = 0
    for line in hunks.splitlines(keepends=True):
        hunk = _HUNK.match(line)
        if hunk:
            number = int(hunk[1])
        elif line[:1] in (b"+", b" "):
            if line[:1] == b"+":
                yield number, line[1:]
            number += 1


def holds_secret(data: bytes) -> bool:
    """Whether `data` holds a token of a known form, a private key, or an assigned literal.

    An assigned literal is 16 or more characters of tokens in quotes (a password: 8 of any kind with
    a digit), or without quotes up to the end of the line and with a digit, behind a name that
    `is_secret_name`. Words, gaps to be filled in and paths are none: `instrument.redaction.plain`.
    """
    text = data.decode("latin-1")
    return any(
        _chunk_holds_secret(text[start : start + _CHUNK + _OVERLAP])
        for start in range(0, len(text), _CHUNK)
    )


def _chunk_holds_secret(text: str) -> bool:
    known, assigned = _patterns()
    whole = text if text.isascii() else text.encode("latin-1").decode("utf-8", "replace")
    if holds_known(whole) or holds_form(text) or known.search(text):
        return True
    return any(map(_is_secret, assigned.finditer(text)))


def _is_secret(assigned: re.Match[str]) -> bool:
    name, literal, word = assigned["name"], assigned["literal"], assigned["word"]
    return is_secret_literal(name, literal) if literal else is_secret_word(name, word)


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    known = (
        r"\bBearer (?=[A-Za-z+/=._~-]{0,99}[0-9])[A-Za-z0-9+/=._~-]{16,}",
        r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:\r?\n|\\n[A-Za-z0-9+/]{16})",
    )
    assigned = (
        r"(?<![A-Za-z0-9_-])(?P<name>[A-Za-z_][A-Za-z0-9_-]{0,99})"
        r"[\"']?\]?(?:[ \t]{0,9}:[ \t]{0,9}str)?[ \t]{0,99}[=:][ \t]{0,99}"
        r"(?:[bru]?(?P<quote>[\"'])(?P<literal>[^\s\"'\\]{8,400})(?P=quote)"
        r"|(?![/=])(?=[A-Za-z+/=-]{0,99}[0-9])(?P<word>[A-Za-z0-9+/=-]{16,400})"
        r"[ \t\r]*(?:\n|\Z))"
    )
    return re.compile("|".join(known)), re.compile(assigned)
