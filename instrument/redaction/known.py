"""Secrets that this process knows by value: what its secret variables, settings and flags hold.

They are searched for in every text, also URL-encoded, escaped, in hexadecimal and in base64, there
also amid other bytes. They stay in the memory of this process; nothing is derived from them that
would be kept, not even a digest: a digest of a weak password is as good as the password.
"""

import binascii
import os
import re
import threading
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

from instrument.redaction.names import is_secret_name
from instrument.redaction.plain import is_plain

MIN_LENGTH: Final = 8
"""Shorter values are not searched for in text: they match by chance."""
MAX_LENGTH: Final = 20_000
MAX_LEARNED: Final = 1000
_FREE_LENGTH: Final = 12
"""From here on a value is also found inside of longer words."""
_PLAIN_LENGTH: Final = 16
"""A value of only small letters, or only digits, is a word or a number up to here."""
_MIN_DISTINCT: Final = 5
_CLASSES: Final = tuple(map(re.compile, ("[a-z]", "[A-Z]", "[0-9]", "[^A-Za-z0-9]")))
_UNRESERVED: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_USERINFO: Final = re.compile(r"://[^/\s:@]{0,200}:([^/\s@]+)@")

_learned: dict[str, None] = {}
_lock: Final = threading.Lock()


def learn(value: object) -> None:
    """Search for `value`, which stood under a secret name, from now on, if it is a text."""
    text = str.__str__(value) if isinstance(value, str) else ""
    if MIN_LENGTH <= len(text) <= MAX_LENGTH and text not in _learned and is_findable(text):
        with _lock:
            if len(_learned) < MAX_LEARNED:
                _learned[text] = None
                _built.clean.clear()


def is_findable(value: str) -> bool:
    """Whether `value` is long and odd enough that a text which holds it does not by chance."""
    if len(value) < MIN_LENGTH or value[0] in "/~[<$" or value in _own_names():
        return False
    classes = sum(bool(one.search(value)) for one in _CLASSES)
    return len(set(value)) >= _MIN_DISTINCT and (classes > 1 or len(value) >= _PLAIN_LENGTH)


def redact_known(text: str) -> str:
    """`text` without the secrets that this process knows."""
    if len(text) < MIN_LENGTH:
        return text
    for value, pattern in _up_to_date().sought:
        if value in text:
            text = pattern.sub("[redacted]", text) if pattern else text.replace(value, "[redacted]")
    return text


def find_known(text: str) -> Iterator[tuple[int, int]]:
    """Where a secret that this process knows stands in `text`, of bytes read as Latin-1."""
    for value, pattern in _up_to_date().sought:
        written = {value, value.encode("utf-8", "surrogateescape").decode("latin-1")}
        for each in written:
            if each in text:
                exact = re.compile(re.escape(each)) if pattern is None else _whole(each)
                yield from (match.span() for match in exact.finditer(text))


def holds_known(text: str) -> bool:
    """Whether `text` holds a secret that this process knows."""
    return any(
        value in text and (pattern is None or pattern.search(text) is not None)
        for value, pattern in _up_to_date().sought
    )


_Sought = list[tuple[str, re.Pattern[str] | None]]


class _Built(NamedTuple):
    """What is searched for, and what it was made from.

    Attributes:
        environment: The variables.
        learned: How many secrets were learned.
        secrets: All of them, and those in the variables.
        sought: How they may be written.
        clean: Texts that hold none of it.
    """

    environment: dict[object, object]
    learned: int
    secrets: set[str]
    sought: _Sought
    clean: set[str]


_built = _Built({}, -1, set(), [], set())


def clean_texts() -> set[str]:
    """Texts that were searched and hold no secret that is known now.

    To be added to by who has searched one. It is emptied when a further secret is learned, so it
    may be kept for as long as the variables of the environment do not change.
    """
    return _up_to_date().clean


def _up_to_date() -> _Built:
    """Made anew when the environment changed or more is known."""
    global _built  # noqa: PLW0603 - a cache
    built = _built
    environment = getattr(os.environ, "_data", os.environ)
    if built.learned != len(_learned) or environment != built.environment:
        now, learned = dict(environment), len(_learned)
        secrets = {*_of_environment(now), *list(_learned)}
        is_same = secrets == built.secrets
        sought, clean = (built.sought, built.clean) if is_same else (_sought(secrets), set[str]())
        _built = built = _Built(now, learned, secrets, sought, clean)
    return built


def _sought(values: set[str]) -> _Sought:
    found = {written: None for value in values for written in _spellings(value)}
    ordered = sorted(found, key=len, reverse=True)
    return [(value, _whole(value) if len(value) < _FREE_LENGTH else None) for value in ordered]


def _whole(value: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(value)}(?![A-Za-z0-9])")


def _of_environment(environment: dict[object, object]) -> set[str]:
    """Values of the secret variables, and the passwords in the URLs of the others."""
    return set().union(*(_of_variable(*each) for each in environment.items()))


@lru_cache(maxsize=1024)
def _of_variable(raw_name: Any, raw_value: Any) -> frozenset[str]:
    """The secrets in one variable; each run changes a few of them, and asks for all again."""
    name, value = os.fsdecode(raw_name), os.fsdecode(raw_value)
    found: set[str] = set()
    if is_secret_name(name):
        found.add("" if is_plain(name, value) else value)
    elif "://" in value:
        found.update(_USERINFO.findall(value[:MAX_LENGTH]))
    return frozenset(value for value in found if len(value) <= MAX_LENGTH and is_findable(value))


def _spellings(value: str) -> set[str]:
    """`value` as it may stand in a text."""
    data = value.encode("utf-8", "surrogateescape")
    text = data.decode("utf-8", "backslashreplace")
    written = {value, text, repr(text)[1:-1], ascii(text)[1:-1], *_in_json(text)}
    written |= {_in_url(data, ""), _in_url(data, "/"), _in_url(data, "").replace("%20", "+")}
    written |= {line for line in map(str.strip, value.splitlines()) if _is_telling(line)}
    if len(data) >= _FREE_LENGTH:
        written |= {data.hex(), data.hex().upper(), *_in_base64(data)}
    return written


def _is_telling(line: str) -> bool:
    """Whether a line of a longer secret, such as of a private key, is searched for by itself."""
    return len(line) >= _PLAIN_LENGTH and not line.startswith("-----") and is_findable(line)


def _in_json(text: str) -> set[str]:
    import json

    return {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}


def _in_url(data: bytes, safe: str) -> str:
    """`data` URL-encoded."""
    plain = frozenset(f"{_UNRESERVED}{safe}".encode())
    return "".join(chr(byte) if byte in plain else f"%{byte:02X}" for byte in data)


def _in_base64(data: bytes) -> set[str]:
    """The characters of base64 that `data` becomes wherever it begins among other bytes."""
    found = set()
    for offset in range(3):
        text = binascii.b2a_base64(bytes(offset) + data, newline=False).decode()
        inner = text[-(-8 * offset // 6) : 8 * (offset + len(data)) // 6]
        found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return found


@cache
def _own_names() -> frozenset[str]:
    """What the user and the machine are called: in every path, and no secret."""
    names = (os.environ.get("USER"), os.environ.get("LOGNAME"), os.uname().nodename)
    return frozenset(filter(None, names))
