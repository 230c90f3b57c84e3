"""Why no run meets a condition, where the condition shows it by itself."""

from collections.abc import Sequence
from typing import Final

from instrument.naming import CHECKPOINTS
from instrument.query.conditions import (
    LIST_FIELDS,
    All,
    Comparison,
    Condition,
    Not,
    Some,
    value_of,
)
from instrument.summary import RunSummary
from instrument.vocabulary import GitState, RunState

_MOST_LISTED: Final = 8


def hints(condition: Condition, runs: Sequence[RunSummary]) -> list[str]:
    """Why `condition`, which none of `runs` meets, can hardly ever be met; one line each."""
    match condition:
        case All(conditions) | Some(conditions):
            return [hint for part in conditions for hint in hints(part, runs)]
        case Not(inner):
            return hints(inner, runs)
        case Comparison():
            hint = _hint(condition, runs)
            return [hint] if hint else []


def fields_of(condition: Condition) -> set[str]:
    """The fields that `condition` asks for."""
    match condition:
        case All(conditions) | Some(conditions):
            return {field for part in conditions for field in fields_of(part)}
        case Not(inner):
            return fields_of(inner)
        case Comparison():
            return {condition.field}


def order_hint(field: str, runs: Sequence[RunSummary]) -> str | None:
    """Why an order by `field` sorts nothing: no run has it."""
    group, dot, name = field.partition(".")
    if not dot or any(value_of(run, field) is not None for run in runs):
        return None
    return _missing(group, name, runs)


def _hint(comparison: Comparison, runs: Sequence[RunSummary]) -> str | None:
    field, operator, value = comparison
    found = [one for one in (value_of(run, field) for run in runs) if one is not None]
    group, dot, name = field.partition(".")
    if dot and not found and value is not None:
        return _missing(group, name, runs)
    if field == "state" and isinstance(value, str) and value not in set(RunState):
        return f"state is one of {', '.join(RunState)}, in capital letters; not {value!r}"
    if field in LIST_FIELDS and operator != "contains" and value is not None:
        return f"{field} is a list; write {field} contains {value!r}"
    if operator == "contains" and field not in LIST_FIELDS:
        return f"{field} is no list; {field} ~ {value!r} looks for a part of a text"
    kinds = {_kind(one) for one in found}
    if value is None or operator in {"~", "contains"} or not kinds or _kind(value) in kinds:
        return None
    quotes = "with" if isinstance(value, str) else "without"
    return (
        f"{field} is a {kinds.pop()} here and is compared with a {_kind(value)}, {value!r}; "
        f"texts are written with quotes, numbers without (this one is {quotes})"
    )


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)) or value in ("NaN", "Infinity", "-Infinity"):
        return "number"
    return "text" if isinstance(value, str) else "list"


def _missing(group: str, name: str, runs: Sequence[RunSummary]) -> str:
    """No run has this parameter or metric: what is it called?"""
    from difflib import get_close_matches

    known = {kind: _names(kind, runs) for kind in ("metrics", "params", "git")}
    by_lower: dict[str, str] = {}
    for kind in sorted(known, key=lambda kind: kind != group):
        for each in known[kind]:
            by_lower.setdefault(each.lower(), f"{kind}.{each}")
    close = get_close_matches(name.lower(), by_lower, 1)
    if close:
        return f"no run has {group}.{name}; did you mean {by_lower[close[0]]}?"
    saved = any(ref.startswith(CHECKPOINTS) for run in runs for ref in run.outputs)
    if group == "metrics" and saved:
        return f"no run has metrics.{name}; those of a checkpoint count once log_metrics has them"
    there = known.get(group)
    return f"no run has {group}.{name}" + (f"; {group} here: {_listed(there)}" if there else "")


def _names(group: str, runs: Sequence[RunSummary]) -> list[str]:
    """The names that `runs` have in a group, each once."""
    if group == "git":
        return list(GitState.__struct_fields__)
    return list(dict.fromkeys(name for run in runs for name in getattr(run, group)))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_LISTED]) + (", …" if len(names) > _MOST_LISTED else "")
