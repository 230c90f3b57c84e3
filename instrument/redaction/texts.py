"""Secrets out of texts, URLs, command lines and plain values."""

import itertools
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

from instrument.redaction.known import MIN_LENGTH, clean_texts, learn, redact_known
from instrument.redaction.names import hides, may_hide, words_of
from instrument.redaction.plain import is_password, is_plain

REDACTED: Final = "[redacted]"
_MAX_QUERY: Final = 20_000
_MAX_DEPTH: Final = 8
_REMEMBERED: Final = 2000
_REMEMBERED_LENGTH: Final = 200
_USER_FLAGS: Final = ("-u", "--user")
_PASSWORD_PROGRAMS: Final = frozenset(
    ["mariadb", "mariadb-dump", "mysql", "mysqladmin", "mysqldump", "mysqlimport", "sshpass"]
)
"""Programs whose flag ``-pX`` is a password."""
_QUERY_WORDS: Final = frozenset(
    ["auth", "credential", "credentials", "key", "sas", "sig", "signature", "token"]
)
"""Words in a URL's query that stand beside what signs it: nothing of such a query stays."""


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
    """`text` without secrets of this process, tokens of known forms, and what is named as secret.

    Takes time in proportion to the length of the text, whatever it holds.
    """
    # In ``pw=abc`` and such there is no room for a secret other than a named one.
    search = _redact_named if len(text) < MIN_LENGTH - 1 else _searched
    if len(text) > _REMEMBERED_LENGTH or type(text) is not str:
        return search(text)
    clean = clean_texts()
    if text in clean:
        return text
    safe = search(text)
    if safe == text:
        if len(clean) >= _REMEMBERED:
            clean.clear()
        clean.add(text)
    return safe


def _searched(text: str) -> str:
    from instrument.redaction.forms import redact_forms

    text = redact_known(text)
    text = _redact_urls(text)
    text = redact_forms(text)
    return _redact_named(text)


def _redact_urls(text: str) -> str:
    """`text` without passwords and signatures in URLs."""
    patterns = _patterns()
    if "://" in text:
        text = patterns["userinfo"].sub(rf"\1{REDACTED}@", text)
        text = patterns["query"].sub(_redact_query, text)
    if "sig=" in text:  # a query without its URL: the shared access signature of Azure
        text = patterns["signature"].sub(rf"\1{REDACTED}", text)
    return text


def _redact_named(text: str) -> str:
    """`text` without what stands behind a name, a flag or a scheme that says it is a secret."""
    patterns = _patterns()
    if " " in text:
        text = patterns["bearer"].sub(rf"\1 {REDACTED}", text)
    if "=" in text or ":" in text:
        text = _redact_assignments(text)
    if "env " in text or "setx " in text or "set -" in text:
        text = patterns["command"].sub(_redact_set, text)
    if "-" in text and " " in text:
        text = patterns["user"].sub(rf"\1{REDACTED}", text)
        text = patterns["flag"].sub(_redact_flag, text)
        if " -p" in text:
            text = patterns["short_password"].sub(rf"\1{REDACTED}", text)
    return text


def redact_value(name: str, value: str) -> str:
    """`value` of the variable or setting `name`, safe to keep."""
    return _hidden(value) if hides(name, value) else redact_text(value)


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
            redact_text(printable(key)): hide(item, key) if hides(key, item) else redact_plain(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return redact_behind_flags([redact_plain(item) for item in value])
    return value


def hide(value: Any, name: str = "password") -> str:
    """What stands for the secret `value`; its texts are searched for everywhere from now on.

    Args:
        value: The secret.
        name: The name it has; words under another than that of a password are not searched for.
    """
    for text in _texts_in(value):
        if not is_plain(name, text):
            learn(text)
    return REDACTED


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


def _texts_in(value: Any, depth: int = 0) -> Iterable[str]:
    """The texts in a plain value."""
    if isinstance(value, str):
        yield value
    elif type(value) in {dict, list, tuple} and depth < _MAX_DEPTH:
        for item in value.values() if type(value) is dict else value:
            yield from _texts_in(item, depth + 1)


def _hidden(value: str) -> str:
    learn(value)
    return REDACTED


def _redacted_arguments(argv: Sequence[str]) -> Iterable[str]:
    before = ""
    takes_password = False
    for argument in map(printable, argv):
        name, equals, value = argument.partition("=")
        safe = _behind(before, argument)
        before = argument
        takes_password |= argument.rpartition("/")[2] in _PASSWORD_PROGRAMS
        if safe != argument:
            before = ""
            yield safe
        elif equals and " " not in name and hides(name, value):
            yield f"{name}={_hidden(value)}"
        elif equals and name in _USER_FLAGS:
            yield f"{name}={_behind(name, value)}"
        elif takes_password and argument[:2] == "-p" and argument[2:]:
            yield f"-p{_hidden(argument[2:])}"
        else:
            yield redact_text(argument)


def _behind(flag: str, value: str) -> str:
    """`value`, safe to keep where it follows `flag`."""
    if flag in _USER_FLAGS:
        return _patterns()["login"].sub(rf"\1{REDACTED}", value)
    is_value = flag.startswith("-") and "=" not in flag and not value.startswith("--")
    return _hidden(value) if is_value and hides(flag, value) else value


def _redact_flag(match: re.Match[str]) -> str:
    flag = match["flag"]
    return f"{flag}{match['gap']}{REDACTED}" if hides(flag, match["value"]) else match[0]


def _redact_set(match: re.Match[str]) -> str:
    is_switch = _patterns()["no_secret"].fullmatch(match["value"])
    is_secret = hides(match["name"], match["value"]) and not is_switch
    return f"{match['set']}{REDACTED}" if is_secret else match[0]


def _redact_query(match: re.Match[str]) -> str:
    pairs = re.findall(r"(?:^|&)([^=&]+)=([^&]*)", match["query"][:_MAX_QUERY])
    words = (word for name, _ in pairs for word in words_of(name))
    is_signed = not _QUERY_WORDS.isdisjoint(words) or any(
        hides(name, value or "?") for name, value in pairs
    )
    return f"{match['mark']}{REDACTED}" if is_signed else match[0]


def _redact_assignments(text: str) -> str:
    """`text` without the values behind secret names; behind other names it is searched too."""
    patterns = _patterns()
    kept, done = [], 0
    for match in patterns["assigned"].finditer(text):
        if match.start() < done or not may_hide(match["name"]):
            continue
        value = patterns["value"].match(text, match.end())
        if value is not None and _is_assigned(match, value[0]):
            quote = value[0][0] if value[0][0] in "\"'" else ""
            closing = quote if value[0][1:].endswith(quote) else ""
            kept += [text[done : match.end()], quote, REDACTED, closing]
            done = value.end()
    return "".join([*kept, text[done:]]) if kept else text


def _is_assigned(name: re.Match[str], value: str) -> bool:
    """Whether `value`, which stands in a text behind `name` and its sign, is a secret."""
    if _patterns()["no_secret"].fullmatch(value) or not hides(name["name"], value):
        return False
    word = name["name"].lower()
    if word not in {"pass", "pw", "pwd"} or value[0] in "\"'":
        return True
    before = name.string[max(name.start() - 2, 0) : name.start()]
    is_said = word == "pass" and (name["name"] != "pass" or before[:1].isalnum())
    is_prose = ":" in name[0] and (is_said or not is_password(word, value))
    return not is_prose and "(" not in value  # no call: ``pwd=os.getcwd()``


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    """Compiled on first need: they cost more than the rest of this module.

    Each one starts at the edge of a word or is bounded, so that no text takes quadratic time.
    """
    return {
        "url": re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?:[^/@\s]*@)*(?P<rest>\S*)"),
        "userinfo": re.compile(
            r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]{0,30}://)"
            r"(?!\[redacted\]@)(?:[^/\s\"'@]{0,2000}+@)+"
        ),
        # With a digit, a sign or a capital inside: "basic training" is no credential.
        "bearer": re.compile(
            r"\b((?i:Bearer|Basic)) (?=[A-Za-z]{0,200}(?:[0-9+/=._~-]|[a-z][A-Z]))"
            r"[A-Za-z0-9+/=._~-]{8,}"
        ),
        "query": re.compile(r"(?P<mark>[?#])(?P<query>[A-Za-z0-9_.%\[\]-]{1,200}=[^\s\"'#<>]*)"),
        "signature": re.compile(r"((?<![A-Za-z0-9_])sig=)(?!\[redacted)[A-Za-z0-9%+/=_-]{16,}"),
        "flag": re.compile(
            r"(?<![A-Za-z0-9_-])(?P<flag>--?[A-Za-z][A-Za-z0-9_-]{0,99})(?P<gap>[ \t]+)"
            r"(?!--|\[redacted)(?P<value>\"[^\"]*\"|'[^']*'|[^\s\"']+)"
        ),
        # What sets a variable with a blank for an equals sign, such as IPython's ``%env``.
        "command": re.compile(
            r"(?P<set>(?<![A-Za-z0-9_])(?:%(?:set_)?env|setenv|setx|set[ \t]{1,9}-[A-Za-z]{1,4})"
            r"[ \t]{1,9}(?P<name>[A-Za-z_][A-Za-z0-9_-]{0,99})[ \t]{1,9})"
            r"(?![=$]|\{|\[redacted)(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[^\s\"'\\]+)"
        ),
        "short_password": re.compile(
            r"((?<![A-Za-z0-9_-])(?:mysql(?:dump|admin|import)?|mariadb(?:-dump)?|sshpass)\b"
            r"(?: [^\s|;&]{1,200}){0,10}? -p)(?!\[redacted)[^\s\"']+"
        ),
        "user": re.compile(
            r"(?<![A-Za-z0-9_-])(--?u(?:ser)?[ =]\s*[\"']?[^\s:/\"']{1,200}:)"
            r"(?!//|[0-9]+\b|\[redacted)[^\s\"']+"
        ),
        "login": re.compile(r"^([^\s:/]{1,200}:)(?!//|[0-9]+$|\[redacted).+", re.DOTALL),
        "assigned": re.compile(
            r"(?<![A-Za-z0-9_-])(?P<name>[A-Za-z_-][A-Za-z0-9_-]{0,99})\\?[\"']?\]?\s*[=:]\s*\\?"
        ),
        "value": re.compile(
            r"(?![\"']?(?:\[redacted|Bearer|Basic|[(<]))"
            r"(?:\"[^\"\n]{1,4000}\"|'[^'\n]{1,4000}'|[\"']?[^\s\"'&,;}\])]+)"
        ),
        "no_secret": re.compile(
            r"(?i:[\"']?(?:true|false|none|null|yes|no|on|off|-?[0-9]{0,3}(?:\.[0-9]*)?"
            r"(?:e[+-]?[0-9]+)?%?)[\"']?)"
        ),
    }
