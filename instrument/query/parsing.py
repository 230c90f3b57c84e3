"""From the text of a condition to what it means, without evaluating anything."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple, NoReturn, cast

from instrument.errors import QueryError
from instrument.query.conditions import (
    COMPARING,
    FIELDS,
    GROUPS,
    SEED,
    All,
    Comparison,
    Condition,
    Not,
    Operand,
    Operator,
    Some,
)
from instrument.vocabulary import GitState

MAX_EXPRESSION: Final = 4096
MAX_DIGITS: Final = 100
MAX_LISTED: Final = 100
_MAX_DEPTH: Final = 50
"""Far below Python's own limit."""
_PLAIN: Final = (*FIELDS, SEED)
_TIME_FIELDS: Final = ("started_at", "ended_at")
_CONSTANTS: Final[dict[str, Operand]] = {"true": True, "false": False, "null": None}

# Compiled where they are used: `re` remembers them, and to record a run needs none.
_TIME: Final = r"\d{4}(-\d\d(-\d\d(T\d\d(:\d\d(:\d\d(\.\d+)?)?)?)?)?)?Z?"
_LEXEME: Final = r"""\s*(?:
    (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
  | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
  | (?P<operator>==|!=|<=|>=|<|>|~|\(|\)|,)
  | (?P<quoted>(?:params|metrics)\.(?:"[^"]+"|`[^`]+`|'[^']+'))
  | (?P<word>[A-Za-z_][\w./\-]*)
)"""


def parse(expression: str) -> Condition:
    """The condition that `expression` spells.

    Raises:
        QueryError: It does not parse; the message names the position and what is possible there.
    """
    if len(expression) > MAX_EXPRESSION:
        raise QueryError(f"longer than {MAX_EXPRESSION} characters", expression[:40], 40)
    return _Parser(expression).parse()


def parse_field(text: str) -> str:
    """The field that `text` spells, without quotes.

    Raises:
        QueryError: It is none.
    """
    return _Parser(text).field()


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
        lexeme = re.compile(_LEXEME, re.VERBOSE)
        position = 0
        text = self._expression
        while position < len(text.rstrip()):
            found = lexeme.match(text, position)
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
        if self._depth > _MAX_DEPTH:
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
        known = token.text in COMPARING or token.text in {"~", "contains"}
        if not known or token.kind == "string":
            self._fail("expected one of == != < <= > >= ~ contains in")
        self._take()
        operator = cast("Operator", token.text)
        is_time = field in _TIME_FIELDS and operator in COMPARING
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

    def _time(self, field: str) -> Operand:
        """A time as it stands in JSON, or the beginning of one; null."""
        token = self._peek()
        value = self._value()
        if isinstance(value, str):
            value = re.sub(r"^(\S+) (?=\d)", r"\1T", value)
        if value is None or (isinstance(value, str) and re.fullmatch(_TIME, value)):
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
        if token.kind == "word" and (token.text in _PLAIN or (dot and name and group in GROUPS)):
            return self._take().text
        if token.kind != "word":
            self._fail("expected a field such as params.lr or state")
        raise QueryError(
            f"unknown field {token.text!r}; {_meant(token.text)} Else use params.NAME, "
            f"metrics.NAME, git.NAME or one of {', '.join(_PLAIN)}",
            self._expression,
            token.position,
        )

    def _value(self) -> Operand:
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


def _meant(word: str) -> str:
    """Which field is probably meant by `word`, which is none."""
    from difflib import get_close_matches

    group, dot, name = word.partition(".")
    if group in GROUPS:
        return f"write {group}.NAME, one of them."
    known = (*_PLAIN, *(f"git.{known}" for known in GitState.__struct_fields__))
    close = [each for each in known if each.partition(".")[2] == word]
    if dot and name:
        close = [f"{known}.{name}" for known in get_close_matches(group, GROUPS, 1)]
    close = close or [each for each in known if each.startswith(f"{word}_")]
    close = close or get_close_matches(word, known, 1, cutoff=0.75)
    return f"did you mean {close[0] if close else f'metrics.{word} or params.{word}'}?"
