"""Where a text holds a secret that somebody wrote into it.

Code is full of names such as ``token`` and ``api_key``; only a literal behind one counts, never a
call, a look-up or another name.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

from instrument.redaction.forms import find_forms
from instrument.redaction.known import find_known
from instrument.redaction.plain import is_password, is_secret_literal, is_secret_word

BY_NAME: Final = "named as a secret"
BY_VALUE: Final = "known value"
_CHUNK: Final = 65_536
"""Searched at once: a search keeps the other threads of the user's process waiting."""
_OVERLAP: Final = 16_384
_OVER_LINES: Final = ("PRIVATE KEY", "Private-Lines:", "login", "default", "getenv", "get(")
"""Marks of what may go over lines, within less than `_OVERLAP`. All else stands on one."""
_SETTINGS: Final = re.compile(
    rb"(?:.*/)?(?:\.?env(?:\.[^/]*)?|Dockerfile|[^/]*\.(?:ya?ml|ini|cfg|cnf|conf|env|properties|"
    rb"service|(?:ba|z|k)?sh))",
    re.IGNORECASE | re.DOTALL,
)

_COMMANDS: Final = (
    "!", "%env ", "%set_env ", "export ", "set -Ux ", "set -gx ", "set -x ", "setenv ", "setx ",
)  # fmt: skip
"""What sets a variable, with or without an equals sign: of IPython, of shells."""

_WIDE: Final = {
    b"\xff\xfe\0\0": "utf-32-le",  # before that of UTF-16, which it begins with
    b"\0\0\xfe\xff": "utf-32-be",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}
"""Byte order marks (Unicode 23.8), and what they say."""

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_-]{0,99}"
_EDGE: Final = r"(?:(?<![A-Za-z0-9_\\-])|(?<=\\[nrt]))"
"""Where a name begins: also behind an escape, in a notebook whose cells are one text each."""
_QUOTE: Final = r"\\{0,3}[\"']"
"""Escaped in code that is itself text, as the cells of a notebook are in its file."""
_LITERAL: Final = r"[bru]?\\{0,3}(?P<quote>[\"'])(?P<literal>[^\s\"'\\]{8,400})\\{0,3}(?P=quote)"


class Secret(NamedTuple):
    """A secret, and where it stands.

    Attributes:
        start: Offset of its first byte.
        end: Offset behind its last byte.
        rule: What told: the kind of token that has this form, `BY_NAME` or `BY_VALUE`.
    """

    start: int
    end: int
    rule: str


def has_settings(path: bytes) -> bool:
    """Whether a value in the file `path` is a text without quotes too, and never a variable."""
    return _SETTINGS.fullmatch(path) is not None


def is_wide(data: bytes) -> bool:
    """Whether `data` begins with the mark of a text in UTF-16 or UTF-32."""
    return data.startswith(tuple(_WIDE))


def holds_secret(data: bytes, *, is_settings: bool = False) -> bool:
    """Whether `data` holds any of what `find_secrets` finds, also where it `is_wide`."""
    encoding = next((_WIDE[mark] for mark in _WIDE if data.startswith(mark)), None)
    if encoding is not None:
        data = data.decode(encoding, "replace").encode()
    return bool(find_secrets(data, is_settings=is_settings))


def find_secrets(
    data: bytes, start: int = 0, end: int | None = None, *, is_settings: bool = False
) -> list[Secret]:
    """The tokens of known forms, private keys, known values and assigned literals in `data`.

    An assigned literal is 16 or more characters of tokens in quotes (a password: 8 of any kind with
    a digit), or without quotes up to the end of the line and with a digit, behind a name that
    `is_secret_name`. Words, gaps to be filled in and paths are none: `instrument.redaction.plain`.

    Args:
        data: A text, in any encoding that has the signs of ASCII.
        start: The line to begin with; a secret that begins above and goes on there is found.
        end: Where a line ends, in the same way.
        is_settings: Whether `has_settings` says so of its file: then a password of 6 characters,
            in quotes or not, is one too.

    Returns:
        In their order; what overlaps is one.
    """
    begin, until = max(start - _OVERLAP, 0), len(data) if end is None else end + _OVERLAP
    text = data[begin:until].decode("latin-1")
    if not any(mark in text for mark in _OVER_LINES):
        begin, text = start, data[start:end].decode("latin-1")
    found: list[Secret] = []
    for at in range(0, len(text), _CHUNK):
        found += (
            Secret(begin + at + each.start, begin + at + each.end, each.rule)
            for each in _in_chunk(text[at : at + _CHUNK + _OVERLAP], is_settings)
            if each.start or not at  # what is cut here was found whole in the chunk before
        )
    return _merged(found)


def _in_chunk(text: str, is_settings: bool) -> Iterator[Secret]:
    for form in find_forms(text):
        yield Secret(*form)
    for start, end in find_known(text):
        yield Secret(start, end, BY_VALUE)
    for assigned in _assigned().finditer(text):
        if _is_secret(assigned):
            yield Secret(*assigned.span("literal" if assigned["literal"] else "word"), BY_NAME)
    for default in (match for pattern in _defaults() for match in pattern.finditer(text)):
        if is_secret_literal(default["name"], default["literal"]):
            yield Secret(*default.span("literal"), BY_NAME)
    yield from _set_by_commands(text)
    for setting in _setting().finditer(text) if is_settings else ():
        if is_password(setting["name"], setting["value"]):
            yield Secret(*setting.span("value"), BY_NAME)


def _set_by_commands(text: str) -> Iterator[Secret]:
    for mark in (mark for mark in _COMMANDS if mark in text):
        for command in _command(mark).finditer(text):
            name, value = command["name"], command["value"]
            if is_secret_literal(name, value) or is_password(name, value):
                yield Secret(*command.span("value"), BY_NAME)


def _merged(secrets: list[Secret]) -> list[Secret]:
    """`secrets` in their order, what overlaps as one: its kind tells more than a name."""
    merged: list[Secret] = []
    for each in sorted(secrets):
        if merged and each.start < merged[-1].end:
            last = merged.pop()
            is_vague = last.rule in {BY_NAME, BY_VALUE}
            rule = each.rule if is_vague else last.rule
            merged.append(Secret(last.start, max(last.end, each.end), rule))
        else:
            merged.append(each)
    return merged


def _is_secret(assigned: re.Match[str]) -> bool:
    name, literal, word = assigned["name"], assigned["literal"], assigned["word"]
    return is_secret_literal(name, literal) if literal else is_secret_word(name, word)


@cache
def _assigned() -> re.Pattern[str]:
    return re.compile(
        rf"{_EDGE}(?P<name>{_NAME})"
        rf"(?:{_QUOTE})?\]?(?:[ \t]{{0,9}}:[ \t]{{0,9}}str)?[ \t]{{0,99}}[=:][ \t]{{0,99}}"
        rf"(?:{_LITERAL}"
        r"|(?![/=])(?=[A-Za-z+/=-]{0,99}[0-9])(?P<word>[A-Za-z0-9+/=-]{16,400})"
        rf"[ \t\r]*(?:\n|\Z|\\[nr]|{_QUOTE}(?=[ \t]{{0,9}}[\]}},\r\n])))"
    )


@cache
def _defaults() -> tuple[re.Pattern[str], ...]:
    """What a flag or a look-up gives where nobody has said anything."""
    between = r"(?:[^()]|\([^()]{0,200}\)){1,300}?"
    return (
        re.compile(
            rf"[\"']--?(?P<name>{_NAME}){_QUOTE},{between}"
            rf"\bdefault[ \t]{{0,9}}=[ \t]{{0,9}}{_LITERAL}"
        ),
        re.compile(
            rf"\b(?:get|getenv|setdefault|setenv|putenv)\(\s{{0,99}}"
            rf"{_QUOTE}(?P<name>{_NAME}){_QUOTE},\s{{0,99}}(?:default=)?{_LITERAL}"
        ),
    )


@cache
def _command(mark: str) -> re.Pattern[str]:
    return re.compile(
        rf"{re.escape(mark)}[ \t]{{0,9}}(?P<name>{_NAME})(?:[ \t]{{0,9}}=|[ \t])[ \t]{{0,9}}"
        rf"(?:{_QUOTE})?(?P<value>[^\s\"'$<>{{}}()\[\],;|&`\\]{{6,400}})"
    )


@cache
def _setting() -> re.Pattern[str]:
    return re.compile(
        r"^[ \t]{0,99}(?:(?:export|ENV|ARG|-)[ \t]{1,9})?"
        r"[\"']?(?P<name>[A-Za-z_][A-Za-z0-9_.-]{0,99})[\"']?[ \t]{0,99}[=:][ \t]{0,99}"
        r"(?P<quote>[\"']?)(?!(?:~|\.{1,2})?/)(?P<value>[^\s\"'$<>{}()\[\],;|&`\\]{6,200})"
        r"(?P=quote)[ \t\r]{0,99}(?:#.*)?$",
        re.MULTILINE,
    )
