"""Rules of retention as people write them: ``--keep best=3:metrics.loss:min --older-than 30d``."""

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from instrument.errors import UsageError
from instrument.naming import check_alias
from instrument.protocols.upkeep import Keep, KeepKind, Policy
from instrument.query import parse
from instrument.redaction import redact_text

_AGE: Final = re.compile(r"([1-9][0-9]{0,5})(h|d|w)")
_UNITS: Final = {"h": "hours", "d": "days", "w": "weeks"}
_BEST: Final = re.compile(r"([1-9][0-9]{0,8}):(.+?)(?::(min|max))?")
_COUNT: Final = re.compile(r"[1-9][0-9]{0,8}")
_PLAIN: Final[Mapping[str, KeepKind]] = {"tagged": "tagged", "used": "used", "held": "held"}
_KEEPS: Final = (
    "last=N, tagged, alias=NAME, used, best=N:metrics.NAME:min, best=N:metrics.NAME:max or held"
)
_FIELDS: Final = ("type", "keep", "where", "older_than", "keep_parents")


def policy(
    *,
    types: Sequence[str] = (),
    keep: Sequence[str] = (),
    where: str | None = None,
    older_than: str | None = None,
    keep_parents: bool = False,
) -> Policy:
    """The policy that these words spell.

    Raises:
        UsageError: They spell none, or one without a bound.
    """
    if not (keep or where or older_than):
        raise UsageError(
            "--type says what may go; say too what stays or how old it must be: add --keep, "
            "--older-than or --where"
        )
    words = [f"--type {each}" for each in types]
    words += [f"--where {shlex.quote(where)}"] if where else []
    words += [f"--older-than {older_than}"] if older_than else []
    words += [f"--keep {each}" for each in keep]
    words += ["--keep-parents"] if keep_parents else []
    return Policy(
        text=redact_text(" ".join(words)),  # the ledger remembers it
        types=tuple(types),
        where=parse(where) if where else None,
        older_than_seconds=seconds(older_than) if older_than else None,
        keep=tuple(map(keep_rule, keep)),
        keep_parents=keep_parents,
    )


def policy_from_table(table: Any) -> Policy:
    """The policy in a table of ``[[tool.instrument.retention]]``. Raises as `policy`."""
    if not isinstance(table, Mapping) or not set(table) <= set(_FIELDS):
        raise UsageError(
            f"{table!r:.80} is no policy of [[tool.instrument.retention]]; it has "
            f"{', '.join(_FIELDS)}"
        )
    return policy(
        types=_words(table.get("type", ())),
        keep=_words(table.get("keep", ())),
        where=table.get("where"),
        older_than=table.get("older_than"),
        keep_parents=bool(table.get("keep_parents", False)),
    )


def keep_rule(text: str) -> Keep:
    """The rule that `text` spells.

    Raises:
        UsageError: It spells none.
    """
    kind, _, value = text.partition("=")
    if text in _PLAIN:
        return Keep(text=text, kind=_PLAIN[text])
    if kind == "last" and _COUNT.fullmatch(value):
        return Keep(text=text, kind="last", count=int(value))
    if kind == "alias" and value:
        return Keep(text=text, kind="alias", name=check_alias(value))
    match = _BEST.fullmatch(value) if kind == "best" else None
    if match and match[3]:
        lowest = match[3] == "min"
        return Keep(text=text, kind="best", count=int(match[1]), name=match[2], lowest=lowest)
    raise UsageError(f"--keep {text!r:.80} is no rule; use {_KEEPS}")


def seconds(text: str) -> float:
    """The time that ``36h``, ``90d`` or ``2w`` spells.

    Raises:
        UsageError: It spells none.
    """
    match = _AGE.fullmatch(str(text))
    if match is None:
        raise UsageError(f"{text!r:.40} is no time; use hours, days or weeks: 36h, 90d, 2w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])}).total_seconds()


def _words(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(map(str, value))
