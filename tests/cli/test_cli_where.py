"""Whatever is typed after --where: a condition, or a QueryError that knows the position."""

import contextlib

from cli.support import Cli
from hypothesis import given, strategies as st

from instrument.errors import QueryError
from instrument.query import parse

PIECES = (
    "params.lr", "metrics.accuracy", "git.commit", "state", "tags", "and", "or", "not", "(", ")",
    "==", "!=", "<=", "<", ">", "~", "contains", "0.1", "-3", "1e9", "'x'", '"y"', "'", '"', "\\",
    "true", "null", "params.", ".", "é", "\x00", "\ud800", ";", "__import__('os')", " ", "\n",
)  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=40), st.sampled_from(["", " "]))
def test_pieces_of_the_language_in_any_order(pieces: list[str], glue: str) -> None:
    expression = glue.join(pieces)
    try:
        parse(expression)
    except QueryError as error:
        position = error.position
    else:
        position = 0
    assert 0 <= position <= len(expression)


@given(st.integers(0, 3000), st.sampled_from(["(", "not ", "not("]))
def test_depth_does_not_crash(depth: int, opening: str) -> None:
    with contextlib.suppress(QueryError):
        parse(opening * depth + "state=='FAILED'")


def test_the_caret_stands_under_the_position(cli: Cli) -> None:
    result = cli("runs", "list", "--where", "params.lr <= 0.1 and state = 'FAILED'")
    assert result.code == 2
    first, expression, caret = result.err.splitlines()
    assert first.startswith("error: ")
    assert "use ==" in first
    assert "position 28" in first
    assert expression == "  params.lr <= 0.1 and state = 'FAILED'"
    assert caret.index("^") == expression.index(" = ") + 1


def test_the_caret_of_a_wide_or_long_expression(cli: Cli) -> None:
    wide = cli("runs", "list", "--where", "name == '漢字' !").err.splitlines()
    assert wide[2] == "  " + " " * len("name == 'xxxx' ") + "^"
    long = cli("runs", "list", "--where", "state=='FAILED' and " * 20 + "nonsense").err.splitlines()
    assert len(long) == 3
    assert long[1][long[2].index("^") :] == "nonsense"
