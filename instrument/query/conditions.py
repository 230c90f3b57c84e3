"""What can be asked about a run, and whether it is so."""

from collections.abc import Callable
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast

import msgspec

from instrument.summary import RunSummary

FIELDS: Final = (
    "id", "name", "project", "state", "started_at", "ended_at", "duration_seconds", "attempts",
    "tags", "function", "parent_run_id", "session_id", "host", "rank_count", "inputs", "outputs",
    "environment", "exit_code", "ended_by", "command", "models", "data",
)  # fmt: skip
TEXT_FIELDS: Final = ("command", "models", "data")
SEED: Final = "seeds.seed"
"""No plain field and none of a group; a store that cannot search by it asks `matches`."""
GROUPS: Final = ("params", "metrics", "git")
LIST_FIELDS: Final = ("tags", "inputs", "outputs")

Operator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">=", "~", "contains"]
Operand: TypeAlias = str | float | int | bool | None

COMPARING: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": eq,
    "!=": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}


class Comparison(NamedTuple):
    """``field operator value``."""

    field: str
    operator: Operator
    value: Operand


class Not(NamedTuple):
    """Met when `condition` is not."""

    condition: "Condition"


class All(NamedTuple):
    """Met when every one of `conditions` is."""

    conditions: tuple["Condition", ...]


class Some(NamedTuple):
    """Met when one of `conditions` is."""

    conditions: tuple["Condition", ...]


Condition: TypeAlias = Comparison | Not | All | Some


def matches(condition: Condition, run: RunSummary) -> bool:
    """Whether `run` meets `condition`. What a store's own search must agree with."""
    match condition:
        case All(conditions):
            return all(matches(part, run) for part in conditions)
        case Some(conditions):
            return any(matches(part, run) for part in conditions)
        case Not(inner):
            return not matches(inner, run)
        case Comparison(field, operator, value):
            return _compare(value_of(run, field), operator, value)


def value_of(run: RunSummary, field: str) -> object:
    """The value of `field` in `run`; None where it has none."""
    group, dot, name = field.partition(".")
    if dot and group == "git":
        return getattr(run.git, name, None) if run.git is not None else None
    if dot:
        return cast("dict[str, object]", getattr(run, group) or {}).get(name)
    if field in TEXT_FIELDS:
        return text_of(run, field)
    value = getattr(run, field)
    return msgspec.to_builtins(value) if value is not None else None


def text_of(run: RunSummary, field: str) -> str | None:
    """The command line, or what was loaded (`models`) or read (`data`): its name and digest."""
    if field == "command":
        return " ".join(run.command) or None
    loads = getattr(run, field) or ()
    named = (f"{load.get('requested') or '-'} {load.get('digest') or '-'}" for load in loads)
    return ", ".join(named) or None


def comparable(found: object, value: Operand) -> tuple[object, object]:
    """Numbers as floats, so that 1 == 1.0; ``"NaN"`` and its kin as the floats they stand for."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = float(value)
        if isinstance(found, str) and found in {"NaN", "Infinity", "-Infinity"}:
            return float(found), value
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        found = float(found)
    return found, value


def _compare(found: object, operator: Operator, value: Operand) -> bool:
    if operator == "contains":
        return isinstance(found, (list, tuple)) and value in found
    if operator == "~":
        return isinstance(found, str) and str(value) in found
    if value is None or found is None:
        same = found is value
        return same if operator == "==" else not same if operator == "!=" else False
    left, right = comparable(found, value)
    if type(left) is not type(right):
        return operator == "!="
    return COMPARING[operator](left, right)
