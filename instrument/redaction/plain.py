"""Literals of code that are no secrets, although the name before them says so.

``auth = "my-auth-provider-name"`` names something, ``api_key = "YOUR_API_KEY_HERE"`` leaves a gap.
A password is another matter: people make it of words, and short.
"""

import re
from typing import Final

from instrument.redaction.names import hides, is_secret_name, words_of

_MIN_LENGTH: Final = 16
_MIN_PASSWORD_LENGTH: Final = 8
_MIN_SETTING_LENGTH: Final = 6
_SIGNS: Final = r"[A-Za-z0-9+/_=.~-]+"
_ODD: Final = r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[^{}<>$]+"
_PASSWORD_WORDS: Final = frozenset(
    {"pass", "passcode", "passphrase", "passwd", "password", "pw", "pwd"}
)
_SHORT_NAMES: Final = (["pass"], ["pw"], ["pwd"])
_KNOWN: Final = r"(?:aws|base|es|gpt|hs|llama|md|oauth|pbkdf|rs|s|sha|t|v)[0-9]{1,3}"
"""Words with digits in them, such as ``oauth2``, ``sha256`` and ``v2``."""
_WORD: Final = rf"(?:{_KNOWN}|[A-Z]?[a-z]{{1,14}}(?:[A-Z][a-z]{{2,14}}){{0,4}})"
_WORDS: Final = rf"{_WORD}(?:[-_./]{{1,2}}{_WORD}){{1,20}}"
_UNSPOKEN: Final = r"(?i)[bcdfghjklmnpqrstvwxz]{6}"
_PATH: Final = r"(?:~|\.{1,2})?/[A-Za-z0-9_./-]{1,300}\.[a-z]{2,5}"
_VARIABLE: Final = r"[A-Z]+(?:_[A-Z]+)+"
_GAP: Final = (
    r"(?i)(?:your|replace|insert|enter|change|changeme|placeholder|dummy|fake|todo)(?:[-_.][a-z]+)+[0-9]{0,2}"
    r"|[xX_.-]+"
)
_IDENTIFIER: Final = r"[A-Za-z]?[a-z]{2,14}(?:[A-Z][a-z]{1,14}|[0-9]{1,2}(?![0-9]))*"


def is_secret_literal(name: str, value: str) -> bool:
    """Whether `value`, which stands in quotes behind `name` in code, is a secret."""
    if not hides(name, value) or is_plain(name, value):
        return False
    is_long = len(value) >= _MIN_LENGTH and _is(_SIGNS, value)
    if _names_password(name):
        is_odd = len(value) >= _MIN_PASSWORD_LENGTH and _is(_ODD, value)
        return is_long or is_odd
    return is_long


def is_plain(name: str, value: str) -> bool:
    """Whether `value` behind a name that says secret is a gap, a path, or words and no password."""
    may_be_words = not _names_password(name) or words_of(name) in _SHORT_NAMES
    is_named = may_be_words and _is_words(value)
    return is_named or _is_gap(value) or _is(_PATH, value)


def is_password(name: str, value: str) -> bool:
    """Whether `value`, which stands behind `name` in a file of settings, is a password."""
    is_odd = len(value) >= _MIN_SETTING_LENGTH and _is(_ODD, value)
    return is_odd and _names_password(name) and hides(name, value) and not is_plain(name, value)


def is_secret_word(name: str, value: str) -> bool:
    """Whether `value`, which stands without quotes behind `name`, is a secret: no name of code."""
    return hides(name, value) and not all(
        _is(_IDENTIFIER, word) for word in re.split("[-+/=]+", value)
    )


def _names_password(name: str) -> bool:
    last = words_of(name)[-1] if words_of(name) else ""
    return last in _PASSWORD_WORDS or last.endswith(("password", "passwd", "passphrase"))


def _is_words(value: str) -> bool:
    return _is(_WORDS, value) and not re.search(_UNSPOKEN, value)


def _is_gap(value: str) -> bool:
    """Whether somebody is to put a secret there, or `value` is the name of a variable with one."""
    is_variable = _is(_VARIABLE, value) and is_secret_name(value)
    return is_variable or _is(_GAP, value)


def _is(pattern: str, value: str) -> bool:
    """Whether all of `value` is as `pattern` says, which few runs need to compile."""
    return re.fullmatch(pattern, value) is not None
