"""The ``--where`` language: what it can say, parsed without evaluating anything.

    params.lr <= 0.1 and metrics.accuracy > 0.9 and state == 'COMPLETED'
    not (tags contains 'baseline' or name ~ 'sft')

Fields are ``params.NAME``, ``metrics.NAME``, ``git.NAME`` and the plain fields of a run in JSON
(`FIELDS`). Operators: ``== != < <= > >=``, ``~`` (the text contains), ``contains`` (the list has),
``in (1, 2)`` (one of these). The command, and what was loaded and read, are texts (`text_of`).
A name with spaces stands in quotes: ``metrics."val acc"``.
Words: ``and or not true false null``. A run that lacks the field meets no comparison with it but
``== null`` and ``!=`` anything else (``!= null`` is met by every run that has it).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple, NoReturn, TypeAlias, cast

import msgspec

from instrument.errors import QueryError
from instrument.summary import RunSummary
from instrument.vocabulary import RunState

FIELDS: Final = (
    "id", "name", "project", "state", "started_at", "ended_at", "duration_seconds", "attempts",
    "tags", "function", "parent_run_id", "session_id", "host", "rank_count", "inputs", "outputs",
    "environment", "exit_code", "ended_by", "command", "models", "data",
)  # fmt: skip
TEXT_FIELDS: Final = ("command", "models", "data")
GROUPS: Final = ("params", "metrics", "git")
LIST_FIELDS: Final = ("tags", "inputs", "outputs")
TIME_FIELDS: Final = ("started_at", "ended_at")
MAX_EXPRESSION: Final = 4096
MAX_DIGITS: Final = 100
MAX_LISTED: Final = 100

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


class Order(NamedTuple):
    """By which field runs stand, and which way."""

    field: str
    descending: bool


def parse_order(text: str) -> Order:
    """The order that ``FIELD``, ``FIELD:asc`` or ``FIELD:desc`` spells.

    Raises:
        QueryError: It is none of these, or the field is unknown.
    """
    field, _, way = text.rpartition(":") if text.endswith((":asc", ":desc")) else (text, "", "asc")
    return Order(parse_field(field), way == "desc")


def parse_field(text: str) -> str:
    """The field that `text` spells, without quotes.

    Raises:
        QueryError: It is none.
    """
    return _Parser(text).field()


def in_order(runs: Iterable[RunSummary], order: Order) -> list[RunSummary]:
    """`runs` by `order`: numbers before texts; those without the field, and NaN, come last."""
    placed: list[tuple[RunSummary, object]] = []
    last: list[RunSummary] = []
    for run in runs:
        found, _ = _comparable(value_of(run, order.field), 0)
        if found is None or found != found or isinstance(found, (list, dict)):  # noqa: PLR0124 - NaN
            last.append(run)
        else:
            placed.append((run, found))
    placed.sort(key=lambda pair: _sort_key(pair[1]), reverse=order.descending)
    return [run for run, _ in placed] + last


def _sort_key(value: object) -> tuple[int, Any]:
    return (0, float(value)) if isinstance(value, (int, float)) else (1, str(value))


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

    names = [
        f"{kind}.{known}"
        for kind in ("metrics", "params")
        for run in runs
        for known in cast("dict[str, object]", getattr(run, kind))
    ]
    same = [known for known in names if known.partition(".")[2] == name]
    close = same or get_close_matches(f"{group}.{name}", names, 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"no run has {group}.{name}{hint}"


def value_of(run: RunSummary, field: str) -> object:
    """The value of `field` in `run`; None where it has none."""
    group, dot, name = field.partition(".")
    if dot and group == "git":
        return getattr(run.git, name, None) if run.git is not None else None
    if dot:
        return cast("dict[str, object]", getattr(run, group)).get(name)
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
      | (?P<operator>==|!=|<=|>=|<|>|~|\(|\)|,)
      | (?P<quoted>(?:params|metrics)\.(?:"[^"]+"|`[^`]+`|'[^']+'))
      | (?P<word>[A-Za-z_][\w./\-]*)
    )""",
    re.VERBOSE,
)
_TIME: Final = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d(:\d\d(:\d\d(\.\d+)?)?)?)?)?)?Z?")
_CONSTANTS: Final[dict[str, Literal_]] = {"true": True, "false": False, "null": None}


def _meant(word: str) -> str:
    """Which field is probably meant by `word`, which is none."""
    from difflib import get_close_matches

    group, dot, name = word.partition(".")
    if group in GROUPS:
        return f"write {group}.NAME, one of them."
    if dot and name:
        close = [f"{known}.{name}" for known in get_close_matches(group, GROUPS, 1)]
    else:
        close = get_close_matches(word, FIELDS, 1, cutoff=0.75)
    return f"did you mean {close[0] if close else f'metrics.{word} or params.{word}'}?"


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

    def field(self) -> str:
        """The whole expression as the name of a field."""
        field = self._field()
        if self._peek().kind != "end":
            self._fail("expected the end of the field")
        return field

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

    def _comparison(self) -> Condition:
        field = self._field()
        if self._accept("in"):
            return self._one_of(field)
        token = self._peek()
        known = token.text in _ORDER or token.text in {"~", "contains"}
        if not known or token.kind == "string":
            self._fail("expected one of == != < <= > >= ~ contains in")
        self._take()
        operator = cast("Operator", token.text)
        is_time = field in TIME_FIELDS and operator in _ORDER
        return Comparison(field, operator, self._time(field) if is_time else self._value())

    def _one_of(self, field: str) -> Condition:
        """``(value, value, …)``."""
        if not self._accept("("):
            self._fail("expected `(` and values, such as ('a', 'b')")
        values = [self._value()]
        while self._accept(","):
            values.append(self._value())
        if len(values) > MAX_LISTED:
            self._fail(f"`in` takes {MAX_LISTED} values at most")
        if not self._accept(")"):
            self._fail("expected `,` or `)`")
        return Some(tuple(Comparison(field, "==", value) for value in values))

    def _time(self, field: str) -> Literal_:
        """A time as it stands in JSON, or the beginning of one; null."""
        token = self._peek()
        value = self._value()
        if isinstance(value, str):
            value = re.sub(r"^(\S+) (?=\d)", r"\1T", value)
        if value is None or (isinstance(value, str) and _TIME.fullmatch(value)):
            return value
        raise QueryError(
            f"{token.text} is no time; {field} is compared with one in UTC, such as "
            "'2026-11-21' or '2026-11-21T16:30'",
            self._expression,
            token.position,
        )

    def _field(self) -> str:
        token = self._peek()
        group, dot, name = token.text.partition(".")
        if token.kind == "quoted":
            return f"{group}.{self._take().text.partition('.')[2][1:-1]}"
        if token.kind == "word" and (token.text in FIELDS or (dot and name and group in GROUPS)):
            return self._take().text
        if token.kind != "word":
            self._fail("expected a field such as params.lr or state")
        raise QueryError(
            f"unknown field {token.text!r}; {_meant(token.text)} Else use git.NAME or one of "
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
