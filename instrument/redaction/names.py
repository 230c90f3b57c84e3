"""Names of variables, settings, fields and flags that say: this is a secret."""

import re
from functools import lru_cache
from typing import Any, Final

MAX_NAME_LENGTH: Final = 200


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
    "begin bos class cls current decoder end eom eos eot fim first forced image last mask max min "
    "n new next num pad padding per prefix sentinel sep separator special start stop subword "
    "suffix target tokenizer unk unknown vocab"
)
_PLAIN_AFTER: Final = _words(
    "budget count counts dim dropout embedding embeddings file head heads id ids index kind len "
    "length level limit logits loss mask masks merging method mixer mixing mode name norm path "
    "policy pooling position positions rate ratio size sock style type types url version weight "
    "weights"
)
_PLAIN_PASS: Final = _words("backward first forward k multi n num one second single two")

_PLAIN_PW: Final = _words("conv depthwise dw n num use")
"""What stands before ``pw`` where that is a pointwise convolution."""
_NO_SECRET, _PLACE, _SHORT, _SECRET = range(4)
"""What a name says: nothing; a directory, mostly; a secret, if it is no number; a secret."""
_NUMBER: Final = (
    r"[-+]?\.?[0-9]{1,5}(?:[.,:/][0-9]{0,9}){0,3}(?:e[-+]?[0-9]{1,3})?"
    r"(?:%|x|[num\u00b5]?s|min|h|it/s|[kKMG]i?B?)?"
)
_PLAIN_TEXT: Final = rf"|(?i:true|false|none|null|yes|no|on|off|ok)|{_NUMBER}|[$`<{{].*"
_DIRECTORY: Final = r"~|(?:~[a-z0-9_-]{0,32}|\.{1,2})?/.*|[A-Za-z]:[\\/].*|\.{1,2}"

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def is_secret_name(name: str) -> bool:
    """Whether a variable, setting or flag of this name holds a secret.

    ``HF_TOKEN``, ``api_key`` and ``dbPassword`` do; ``max_tokens``, ``pad_token`` and ``sort_key``
    do not. Of what is too long for a name, the first characters decide.
    """
    return _kind(name[:MAX_NAME_LENGTH]) >= _SHORT


def may_hide(name: str) -> bool:
    """Whether there is a value that `hides` under this name."""
    return _kind(name[:MAX_NAME_LENGTH]) != _NO_SECRET


@lru_cache(maxsize=4096)
def _kind(name: str) -> int:
    words = words_of(name)
    if words in (["pwd"], ["oldpwd"]):
        return _PLACE if name.isupper() or words == ["oldpwd"] else _SHORT
    if words[-1:] in (["pass"], ["pw"]):
        plain = _PLAIN_PASS if words[-1] == "pass" else _PLAIN_PW
        if not plain.isdisjoint(words[-2:-1]):
            return _NO_SECRET
        return _SECRET if _says_secret(name, words[:-1]) else _SHORT
    return _SECRET if _says_secret(name, words) else _NO_SECRET


def _says_secret(name: str, words: list[str]) -> bool:
    if not words or words == ["auth"]:
        return bool(words)
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
    if word in {"token", "auth", "signature", "cookie"}:
        plain = previous in _PLAIN_TOKENS or (after and after[0] in _PLAIN_AFTER)
        return not plain
    return word in _SECRET_WORDS


def hides(name: str, value: Any) -> bool:
    """Whether `value`, which stands under `name`, is a secret: a switch or a fraction is none.

    Of ``pass``, ``pw`` and ``pwd`` the value decides more: no number is a secret there, and the
    directory that ``pwd`` may name is none.
    """
    if not _kind(name[:MAX_NAME_LENGTH]):
        return False
    if value is None or isinstance(value, (bool, float)) or (isinstance(value, str) and not value):
        return False
    return not spares(name, value)


def spares(name: str, value: Any) -> bool:
    """Whether `value` is no secret, since `name` is a short one that has another meaning too."""
    if _kind(name[:MAX_NAME_LENGTH]) not in {_PLACE, _SHORT}:
        return False
    if not issubclass(type(value), str):  # what a stranger's object says of its class is not asked
        return issubclass(type(value), (int, float, type(None)))
    text = str.strip(value, "\"'")
    places = _DIRECTORY if words_of(name)[-1].endswith("pwd") else r"\Z"
    return re.fullmatch(rf"{_PLAIN_TEXT}|{places}", text, re.DOTALL) is not None


def words_of(name: str) -> list[str]:
    """The words of a name in lower case: ``dbPassword`` is ``db`` and ``password``."""
    return [word.lower() for word in _WORDS.findall(name)]
