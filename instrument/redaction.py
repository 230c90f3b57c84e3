"""Secrets out of everything that is kept: by name, by form, by value, and out of URLs.

A *name* decides for variables, settings and flags (`is_secret_name`). In free text the *form* of
well-known tokens decides, and every value that a secret variable of this process holds.
"""

import itertools
import os
import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import Any, Final

REDACTED: Final = "[redacted]"
MAX_NAME_LENGTH: Final = 200
MIN_SECRET_LENGTH: Final = 8
"""Shorter values of secret variables are not searched for in text: they match by chance."""

_MAX_QUERY: Final = 20_000


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SECRET_WORDS: Final = _words(
    "apikey auth authtoken authorization bearer cookie cred credential credentials creds dsn jwt "
    "passcode passphrase passwd password privatekey pwd secret secretkey secrets signature token "
    "accesstoken accesskey"
)
_SECRET_ENDS: Final = ("password", "passwd", "secret", "apikey", "passphrase", "_pat", "_sas")
_SECRET_KEYS: Final = _words(
    "access account admin api app auth client cloud consumer deploy encryption host hmac license "
    "master mfa private secret service shared signing ssh ssl storage subscription tls webhook "
    "wandb"
)
"""What stands before ``key`` when the key opens something."""
_PLAIN_KEYS: Final = _words(
    "cache dataset feature foreign group id input join label loss metric output partition primary "
    "prompt public query sort target text value"
)
_PLAIN_TOKENS: Final = _words(
    "begin bos class cls current decoder end eos first forced image last mask max min n new next "
    "num pad per prefix sep special start stop target unk vocab"
)
_PLAIN_AFTER: Final = _words(
    "budget count counts dim dropout embedding embeddings file head heads id ids index kind len "
    "length level limit loss method mode name norm path policy rate ratio size sock style type "
    "types url version weight weights"
)
_PLAIN_PASS: Final = _words("backward first forward k multi n num one second single two")

_SECRET_FLAGS: Final = _words("pw pass")
"""What names a secret only as a flag: ``--pw X``."""
_USER_FLAGS: Final = ("-u", "--user")
_QUERY_WORDS: Final = _words("auth credential credentials key sas sig signature token")
"""Words in a URL's query that stand beside what signs it: nothing of such a query stays."""

TOKEN_FORMS: Final = (
    r"gh[pousr]_[A-Za-z0-9]{20,}",
    r"github_pat_[A-Za-z0-9_]{20,}",
    r"glpat-[A-Za-z0-9_-]{16,}",
    r"hf_[A-Za-z0-9]{16,}",
    r"sk-[A-Za-z0-9_-]{16,}",
    r"xox[abprs]-[A-Za-z0-9-]{10,}",
    r"(?:AKIA|ASIA)[A-Z0-9]{16}",
    r"AIza[A-Za-z0-9_-]{30,}",
    r"npm_[A-Za-z0-9]{30,}",
    r"pypi-[A-Za-z0-9_-]{30,}",
    r"eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,9000}\.[A-Za-z0-9_-]*",
)
"""Tokens that are known by their form."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def is_secret_name(name: str) -> bool:
    """Whether a variable, setting or flag of this name holds a secret.

    ``HF_TOKEN``, ``api_key`` and ``dbPassword`` do; ``max_tokens``, ``pad_token`` and ``sort_key``
    do not. Of what is too long for a name, the first characters decide.
    """
    return _is_secret_name(name[:MAX_NAME_LENGTH])


@lru_cache(maxsize=4096)
def _is_secret_name(name: str) -> bool:
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or words in (["pwd"], ["oldpwd"], ["auth"]):
        return words == ["auth"]
    if name.lower().endswith(_SECRET_ENDS) or {"connection", "string"} <= set(words):
        return True
    return any(
        _is_secret_word(word, words[:index], words[index + 1 :], is_upper=name.isupper())
        for index, word in enumerate(words)
    )


def _is_secret_word(word: str, before: list[str], after: list[str], *, is_upper: bool) -> bool:
    """Whether `word` between its neighbours names a secret."""
    previous = before[-1] if before else ""
    if word == "key":
        if previous in _SECRET_KEYS:
            return after[:1] != ["path"]
        return is_upper and bool(before) and not after and previous not in _PLAIN_KEYS
    if word == "pass":
        return bool(before) and not after and previous not in _PLAIN_PASS
    if word in {"token", "auth", "signature", "cookie"}:
        plain = previous in _PLAIN_TOKENS or (after and after[0] in _PLAIN_AFTER)
        return not plain
    return word in _SECRET_WORDS


def redact_url(url: str) -> str:
    """`url` without user, password, query and fragment. Anything else is returned as it is."""
    match = _patterns()["url"].fullmatch(url)
    if match:
        return f"{match['scheme']}{match['rest'].split('?')[0].split('#')[0]}"
    user, at, rest = url.partition("@")  # git@host:path: the form of scp
    if at and ":" in rest and "/" not in user and " " not in url:
        return rest.split("?")[0]
    return url


def redact_text(text: str) -> str:
    """`text` with tokens of known forms, passwords in URLs and secrets of this process removed."""
    for value in _secret_values():
        text = text.replace(value, REDACTED)
    patterns = _patterns()
    if "://" in text:
        text = patterns["userinfo"].sub(rf"\1{REDACTED}@", text)
        text = patterns["query"].sub(_redact_query, text)
    if "-----BEGIN" in text:
        text = patterns["private_key"].sub(REDACTED, text)
    text = patterns["token"].sub(REDACTED, text)
    text = patterns["bearer"].sub(rf"\1 {REDACTED}", text)
    if "=" in text or ":" in text:
        text = patterns["assignment"].sub(_redact_assignment, text)
    if "-" in text and " " in text:
        text = patterns["user"].sub(rf"\1{REDACTED}", text)
        text = patterns["flag"].sub(_redact_flag, text)
    return text


def redact_value(name: str, value: str) -> str:
    """`value` of the variable or setting `name`, safe to keep."""
    return REDACTED if is_secret_name(name) and value else redact_text(value)


def redact_command(argv: Sequence[str]) -> tuple[str, ...]:
    """A command line with secrets removed: ``--token X``, ``--token=X``, ``TOKEN=X`` and text."""
    return tuple(_redacted_arguments(argv))


def printable(text: str) -> str:
    """`text` as UTF-8 can hold it: bytes that the system could not decode are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def redact_plain(value: Any) -> Any:
    """A plain value with secrets removed: by the names in it, by form, and behind flags."""
    if isinstance(value, str):
        return redact_text(printable(value))
    if isinstance(value, dict):
        return {
            printable(key): REDACTED
            if is_secret_name(key) and item is not None
            else redact_plain(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return redact_behind_flags([redact_plain(item) for item in value])
    return value


def redact_behind_flags(items: list[Any]) -> list[Any]:
    """A list that may be a command line, with the values of its secret flags removed."""
    kept = items
    for index, (flag, value) in enumerate(itertools.pairwise(items), 1):
        if type(flag) is str and flag[:1] == "-" and type(value) is str:
            safe = _behind(flag, value)
            if safe != value:
                kept = items[:] if kept is items else kept
                kept[index] = safe
    return kept


def _redacted_arguments(argv: Sequence[str]) -> Iterable[str]:
    before = ""
    for argument in map(printable, argv):
        name, equals, value = argument.partition("=")
        safe = _behind(before, argument)
        before = argument
        if safe != argument:
            before = ""
            yield safe
        elif equals and value and " " not in name and _names_secret(name):
            yield f"{name}={REDACTED}"
        elif equals and name in _USER_FLAGS:
            yield f"{name}={_behind(name, value)}"
        else:
            yield redact_text(argument)


def _behind(flag: str, value: str) -> str:
    """`value`, safe to keep where it follows `flag`."""
    if flag in _USER_FLAGS:
        return _patterns()["login"].sub(rf"\1{REDACTED}", value)
    is_value = flag.startswith("-") and "=" not in flag and not value.startswith("--")
    return REDACTED if is_value and _names_secret(flag) else value


def _names_secret(flag: str) -> bool:
    """Whether what stands behind `flag`, a setting or a flag with its dashes, is a secret."""
    name = flag.lstrip("-+")
    return is_secret_name(name) or (name in _SECRET_FLAGS and flag.startswith("-"))


def _redact_flag(match: re.Match[str]) -> str:
    flag = match["flag"]
    return f"{flag}{match['gap']}{REDACTED}" if _names_secret(flag) else match[0]


def _redact_query(match: re.Match[str]) -> str:
    names = re.findall(r"(?:^|&)([^=&]+)=", match["query"][:_MAX_QUERY])
    words = (word.lower() for name in names for word in _WORDS.findall(name))
    is_signed = not _QUERY_WORDS.isdisjoint(words) or any(map(is_secret_name, names))
    return f"{match['mark']}{REDACTED}" if is_signed else match[0]


def _redact_assignment(match: re.Match[str]) -> str:
    name = match["name"]
    return f"{name}{match['sign']}{REDACTED}" if is_secret_name(name) else match[0]


def _secret_values() -> list[str]:
    """Values of this process's secret variables, longest first."""
    values = {
        value
        for name, value in os.environ.items()
        if len(value) >= MIN_SECRET_LENGTH and is_secret_name(name) and not value.startswith("/")
    }
    return sorted(values, key=len, reverse=True)


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    """Compiled on first need: they cost more than the rest of this module.

    Each one starts at the edge of a word or is bounded, so that no text takes quadratic time.
    """
    return {
        "url": re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?:[^/@\s]*@)*(?P<rest>\S*)"),
        "userinfo": re.compile(r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]{0,30}://)[^/\s\"']+@"),
        "private_key": re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [^-]*-----|\Z)", re.DOTALL
        ),
        "token": re.compile(r"(?<![A-Za-z0-9])(?:" + "|".join(TOKEN_FORMS) + r")"),
        # With a digit, a sign or a capital inside: "basic training" is no credential.
        "bearer": re.compile(
            r"\b((?i:Bearer|Basic)) (?=[A-Za-z]{0,200}(?:[0-9+/=._~-]|[a-z][A-Z]))"
            r"[A-Za-z0-9+/=._~-]{8,}"
        ),
        "query": re.compile(r"(?P<mark>[?#])(?P<query>[A-Za-z0-9_.%\[\]-]{1,200}=[^\s\"'#<>]*)"),
        "flag": re.compile(
            r"(?<![A-Za-z0-9_-])(?P<flag>--?[A-Za-z][A-Za-z0-9_-]{0,99})(?P<gap>[ \t]+)"
            r"(?!--|\[redacted\])(?:\"[^\"]*\"|'[^']*'|[^\s\"']+)"
        ),
        "user": re.compile(
            r"(?<![A-Za-z0-9_-])(--?u(?:ser)?[ =]\s*[\"']?[^\s:/\"']{1,200}:)"
            r"(?!//|[0-9]+\b|\[redacted\])[^\s\"']+"
        ),
        "login": re.compile(r"^([^\s:/]{1,200}:)(?!//|[0-9]+$|\[redacted\]).+", re.DOTALL),
        "assignment": re.compile(
            r"(?<![A-Za-z0-9_-])(?P<name>[A-Za-z_-][A-Za-z0-9_-]{0,99})(?P<sign>[\"']?\s*[=:]\s*[\"']?)"
            r"(?!\[redacted\]|Bearer|Basic)[^\s\"'&,;}\])]+"
        ),
    }
