"""A condition of the query language as SQL over the index; must agree with `query.matches`.

The index has a row ``value(field, run, number, truth, text, list)`` for each value that a run has;
one of the last four is set, by the value's type, and none for a value that only ``!= null`` meets.
Text is kept as UTF-8 bytes, whose order is that of the characters.
"""

import math
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import msgspec

from instrument.query import (
    FIELDS,
    GROUPS,
    TEXT_FIELDS,
    All,
    Comparison,
    Condition,
    Not,
    Some,
    text_of,
)
from instrument.summary import RunSummary
from instrument.vocabulary import GitState

_ALL_FIELDS: Final = (*FIELDS, *(f"git.{name}" for name in GitState.__struct_fields__))
_SQL_OPERATOR: Final = {"==": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_NAMED_NUMBERS: Final = frozenset({"NaN", "Infinity", "-Infinity"})


# A row of the index, less its field and its run: number, truth, text, list.
Value: TypeAlias = tuple[float | None, int | None, bytes | None, bytes | None]


class NotInSql(Exception):  # noqa: N818 - no error: such a condition is decided run by run
    """SQL cannot say exactly what the condition means."""


def values_of(run: RunSummary) -> Iterator[tuple[str, Value]]:
    """Everything that a condition can ask about `run`, by field."""
    plain = msgspec.to_builtins(run)
    for name in FIELDS:
        found = text_of(run, name) if name in TEXT_FIELDS else plain[name]
        if found is not None:
            yield name, _value(found)
    for group in GROUPS:
        for name, found in (plain[group] or {}).items():
            if found is not None:
                yield f"{group}.{name}", _value(found)


def compile_condition(condition: Condition) -> tuple[str, list[Any]]:
    """An SQL expression over ``run.number``, and its parameters.

    Raises:
        NotInSql: Decide it with `query.matches`.
    """
    match condition:
        case All(conditions):
            return _join(" AND ", conditions)
        case Some(conditions):
            return _join(" OR ", conditions)
        case Not(inner):
            sql, parameters = compile_condition(inner)
            return f"NOT ({sql})", parameters
        case Comparison():
            return _compile_comparison(condition)


def list_has(encoded: bytes, value: bytes) -> bool:
    """SQL function ``list_has``: whether the list has the value, both as JSON."""
    return msgspec.json.decode(value) in msgspec.json.decode(encoded)


def _value(found: Any) -> Value:
    kind = type(found)
    if kind is float or kind is int:
        return _float(found), None, None, None
    if kind is str:
        number = float(found) if found in _NAMED_NUMBERS else None
        # SQLite has no NaN; without a number it meets only !=, as it should.
        named = None if number is None or math.isnan(number) else number
        return named, None, found.encode("utf-8", "surrogatepass"), None
    if kind is bool:
        return None, int(found), None, None
    if kind is list or kind is tuple:
        return None, None, None, msgspec.json.encode(found)
    return None, None, None, None


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise NotInSql from None


def _join(word: str, conditions: tuple[Condition, ...]) -> tuple[str, list[Any]]:
    compiled = [compile_condition(part) for part in conditions]
    sql = word.join(f"({part})" for part, _ in compiled)
    return sql, [parameter for _, parameters in compiled for parameter in parameters]


def _compile_comparison(comparison: Comparison) -> tuple[str, list[Any]]:
    field, operator, value = comparison
    group, dot, _ = field.partition(".")
    if field not in _ALL_FIELDS and not (dot and group in {"params", "metrics"}):
        raise NotInSql
    test, parameters = _test(operator, value)
    if operator == "!=" and value is not None:  # met by runs that lack the field, too
        return _has(field, f"NOT ({test})", parameters, negated=True)
    if operator == "==" and value is None:
        return _has(field, "1", [], negated=True)
    return _has(field, test, parameters)


def _has(
    field: str, test: str, parameters: list[Any], *, negated: bool = False
) -> tuple[str, list[Any]]:
    """Whether the run has a value of `field` that meets `test`."""
    rows = f"SELECT run FROM value JOIN field USING (field) WHERE name=? AND ({test})"  # noqa: S608 - no user text
    return f"run.number {'NOT ' if negated else ''}IN ({rows})", [field, *parameters]


def _test(operator: str, value: Any) -> tuple[str, list[Any]]:
    """An SQL expression over a row of ``value``, never NULL."""
    if operator == "contains":
        return "list IS NOT NULL AND list_has(list, ?)", [_as_json(value)]
    if operator == "~":
        needle = str(value).encode("utf-8", "surrogatepass")
        return "text IS NOT NULL AND (? = x'' OR instr(text, ?) > 0)", [needle, needle]
    if value is None:
        return ("1" if operator == "!=" else "0"), []
    column, parameter = _column(value)
    if operator == "!=":
        return f"{column} IS NULL OR {column} != ?", [parameter]
    return f"{column} IS NOT NULL AND {column} {_SQL_OPERATOR[operator]} ?", [parameter]


def _as_json(value: Any) -> bytes:
    if isinstance(value, float) and not math.isfinite(value):
        raise NotInSql
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError):
        raise NotInSql from None


def _column(value: Any) -> tuple[str, Any]:
    match value:
        case bool():
            return "truth", int(value)
        case int() | float():
            if math.isnan(value):
                raise NotInSql
            return "number", _float(value)
        case str():
            return "text", value.encode("utf-8", "surrogatepass")
    raise NotInSql
