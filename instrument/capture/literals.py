"""Whether a text holds a secret that somebody wrote into it.

Code is full of names such as ``token`` and ``api_key``; only a literal behind one counts, never a
call, a look-up or another name.
"""

import re
from functools import cache
from typing import Final

from instrument.redaction import is_secret_name
from instrument.redaction.forms import holds_form
from instrument.redaction.known import holds_known

_CHUNK: Final = 65_536
"""Searched at once: a search keeps the other threads of the user's process waiting."""
_OVERLAP: Final = 16_384


def holds_secret(data: bytes) -> bool:
    """Whether `data` holds a token of a known form, a private key, or an assigned literal.

    An assigned literal is 16 or more characters of tokens in quotes, or without quotes up to the
    end of the line and with a digit, behind a name that `is_secret_name`.
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
    return any(is_secret_name(match["name"]) for match in assigned.finditer(text))


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    known = (
        r"\bBearer (?=[A-Za-z+/=._~-]{0,99}[0-9])[A-Za-z0-9+/=._~-]{16,}",
        r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:\r?\n|\\n[A-Za-z0-9+/]{16})",
    )
    assigned = (
        r"(?<![A-Za-z0-9_-])(?P<name>[A-Za-z_][A-Za-z0-9_-]{0,99})"
        r"[\"']?(?:[ \t]{0,9}:[ \t]{0,9}str)?[ \t]{0,99}[=:][ \t]{0,99}"
        r"(?:(?P<quote>[\"'])[A-Za-z0-9+/_=.~-]{16,400}(?P=quote)"
        r"|(?![/=])(?=[A-Za-z+/=-]{0,99}[0-9])[A-Za-z0-9+/=-]{16,400}[ \t\r]*(?:\n|\Z))"
    )
    return re.compile("|".join(known)), re.compile(assigned)
