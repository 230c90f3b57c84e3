"""The ``--where`` language: what it can say, parsed without evaluating anything.

    params.lr <= 0.1 and metrics.accuracy > 0.9 and state == 'COMPLETED'
    not (tags contains 'baseline' or name ~ 'sft')

Fields are ``params.NAME``, ``metrics.NAME``, ``git.NAME`` and the plain fields of a run in JSON
(`FIELDS`). Operators: ``== != < <= > >=``, ``~`` (the text contains), ``contains`` (the list has).
Words: ``and or not true false null``. A run that lacks the field meets no comparison with it but
``== null`` and ``!=`` anything else (``!= null`` is met by every run that has it).
"""

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, NoReturn, TypeAlias, cast

import msgspec

from instrument.errors import QueryError
from instrument.summary import RunSummary

FIELDS: Final = (
    "id", "name", "project", "state", "started_at", "ended_at", "duration_seconds", "attempts",
    "tags", "function", "parent_run_id", "session_id", "host", "rank_count", "inputs", "outputs",
    "environment", "exit_code",
)  # fmt: skip
GROUPS: Final = ("params", "metrics", "git")
LIST_FIELDS: Final = ("tags", "inputs", "outputs")
MAX_EXPRESSION: Final = 4096
MAX_DIGITS: Final = 100

Operator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">=", "~", "contains"]
Literal_: TypeAlias = str | float | int | bool | None


class Comparison(NamedTuple):
    """``field operator value``."""

    field: str
    operator: Operator
    value: Literal_


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


def parse(expression: str) -> Condition:
    """The condition that `expression` spells.

    Raises:
        QueryError: It does not parse; the message names the position and what is possible there.
    """
    if len(expression) > MAX_EXPRESSION:
        raise QueryError(f"longer than {MAX_EXPRESSION} characters", expression[:40], 40)
    return _Parser(expression).parse()


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
        return cast("dict[str, object]", getattr(run, group)).get(name)
    value = getattr(run, field)
    return msgspec.to_builtins(value) if value is not None else None


def _compare(found: object, operator: Operator, value: Literal_) -> bool:
    if operator == "contains":
        return isinstance(found, (list, tuple)) and value in found
    if operator == "~":
        return isinstance(found, str) and str(value) in found
    if value is None or found is None:
        same = found is value
        return same if operator == "==" else not same if operator == "!=" else False
    left, right = _comparable(found, value)
    if type(left) is not type(right):
        return operator == "!="
    return bool(_ORDER[operator](left, right))


def _comparable(found: object, value: Literal_) -> tuple[object, object]:
    """Numbers as floats, so that 1 == 1.0; ``"NaN"`` and its kin as the floats they stand for."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = float(value)
        if isinstance(found, str) and found in {"NaN", "Infinity", "-Infinity"}:
            return float(found), value
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        found = float(found)
    return found, value


_ORDER: Final = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
      | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<operator>==|!=|<=|>=|<|>|~|\(|\))
      | (?P<word>[A-Za-z_][\w./\-]*)
    )""",
    re.VERBOSE,
)
_CONSTANTS: Final[dict[str, Literal_]] = {"true": True, "false": False, "null": None}


class _Token(NamedTuple):
    kind: str
    text: str
    position: int


class _Parser:
    """Recursive descent over the tokens: or, and, not, comparison."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens = list(self._scan())
        self._next = 0
        self._depth = 0

    def parse(self) -> Condition:
        condition = self._any()
        if self._peek().kind != "end":
            self._fail("expected `and`, `or` or the end")
        return condition

    def _scan(self) -> Iterator[_Token]:
        position = 0
        text = self._expression
        while position < len(text.rstrip()):
            found = _TOKEN.match(text, position)
            if found is None or found.lastgroup is None:
                start = position + len(text[position:]) - len(text[position:].lstrip())
                if text[start] == "=":
                    raise QueryError("`=` is no operator; use ==", text, start)
                raise QueryError(f"cannot read {text[start : start + 12]!r}", text, start)
            yield _Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup))
            position = found.end()
        yield _Token("end", "", len(text))

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _accept(self, text: str) -> bool:
        if self._peek().kind in {"word", "operator"} and self._peek().text == text:
            self._next += 1
            return True
        return False

    def _fail(self, reason: str) -> NoReturn:
        token = self._peek()
        found = f", found {token.text!r}" if token.text else ", found the end"
        raise QueryError(reason + found, self._expression, token.position)

    def _any(self) -> Condition:
        parts = [self._all()]
        while self._accept("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def _all(self) -> Condition:
        parts = [self._one()]
        while self._accept("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _one(self) -> Condition:
        self._depth += 1
        if self._depth > 50:  # noqa: PLR2004 - far below Python's own limit
            self._fail("nested too deeply")
        try:
            if self._accept("not"):
                return Not(self._one())
            if self._accept("("):
                condition = self._any()
                if not self._accept(")"):
                    self._fail("expected `)`")
                return condition
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Comparison:
        field = self._field()
        token = self._peek()
        known = token.text in _ORDER or token.text in {"~", "contains"}
        if not known or token.kind == "string":
            self._fail("expected one of == != < <= > >= ~ contains")
        self._take()
        return Comparison(field, cast("Operator", token.text), self._value())

    def _field(self) -> str:
        token = self._peek()
        group, dot, name = token.text.partition(".")
        if token.kind == "word" and (token.text in FIELDS or (dot and name and group in GROUPS)):
            return self._take().text
        if token.kind != "word":
            self._fail("expected a field such as params.lr or state")
        raise QueryError(
            f"unknown field {token.text!r}; use params.NAME, metrics.NAME, git.NAME or one of "
            + ", ".join(FIELDS),
            self._expression,
            token.position,
        )

    def _value(self) -> Literal_:
        token = self._peek()
        if token.kind == "number":
            self._take()
            if len(token.text) > MAX_DIGITS:
                raise QueryError(
                    f"a number has {MAX_DIGITS} digits at most", self._expression, token.position
                )
            return float(token.text) if re.search(r"[.eE]", token.text) else int(token.text)
        if token.kind == "string":
            self._take()
            return re.sub(r"\\(.)", r"\1", token.text[1:-1])
        if token.kind == "word" and token.text in _CONSTANTS:
            return _CONSTANTS[self._take().text]
        return self._fail("expected a number, a quoted string, true, false or null")
