from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from instrument.errors import QueryError
from instrument.query import matches, parse
from instrument.summary import RunSummary
from instrument.vocabulary import GitState, RunState

RUN = RunSummary(
    id="20260101-000000-aa",
    name="sft baseline",
    state=RunState.COMPLETED,
    params={"lr": 0.1, "optim.name": "adam", "layers": 2, "debug": False},
    metrics={"accuracy": 0.93, "loss": "NaN"},
    tags=("baseline", "v2"),
    git=GitState(commit="abc", branch="main", dirty=True),
    command=("python", "train.py", "--alpha", "0.01"),
    data=[{"reader": "read_csv", "requested": "iris.csv", "digest": "sha256:4f6ae1" + "0" * 58}],
    seeds={"seed": 7},
    started_at=datetime(2026, 11, 21, 10, 30, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("expression", "met"),
    [
        ("params.lr<=0.1 and metrics.accuracy>0.9 and state=='COMPLETED'", True),
        ("params.lr<0.1", False),
        ("params.layers == 2.0", True),
        ("params.optim.name == 'adam'", True),
        ('name ~ "base"', True),
        ("tags contains 'v2' and not tags contains 'v3'", True),
        ("git.dirty == true and git.branch != 'main'", False),
        ("params.debug == false", True),
        ("params.debug == 0", False),
        ("params.missing == null", True),
        ("params.missing != 3", True),
        ("params.missing > 3", False),
        ("metrics.accuracy > 0.95 or (params.lr == 0.1 and state != 'FAILED')", True),
        ("project == null", True),
        ("params.lr != null", True),
        ("params.lr == -1e-3", False),
        ("params.optim.name > 3", False),
        ("state in ('FAILED', 'COMPLETED')", True),
        ("params.lr in (0.2, 0.3)", False),
        ("not params.layers in (1)", True),
        ("command ~ '--alpha 0.01'", True),
        ("command ~ 'beta'", False),
        ("data ~ 'iris.csv' and data ~ '4f6ae1'", True),
        ("models == null", True),
        ("started_at >= '2026-11-21 10' and started_at < '2026-11-21T11:00'", True),
        ("ended_at == null", True),
        ("seeds.seed == 7", True),
        ("seeds.seed == 8 or seeds.seed == null", False),
    ],
)
def test_conditions_mean_what_they_say(expression: str, met: bool) -> None:
    assert matches(parse(expression), RUN) is met


@pytest.mark.parametrize(
    ("expression", "position", "reason"),
    [
        ("params.lr <", 12, "expected a number"),
        ("colour == 1", 1, "unknown field 'colour'"),
        ("state == 'x", 10, "cannot read"),
        ("state == COMPLETED", 10, "quoted string"),
        ("(state == 'x'", 14, "expected `)`"),
        ("state == 'x' state", 14, "expected `and`"),
        ("params.lr < " + "9" * 400, 13, "100 digits at most"),
        ("", 1, "expected a field"),
        ("params.lr = 1", 11, "use =="),
        ("__import__('os')", 1, "unknown field"),
        ("metric.acc > 1", 1, "did you mean metrics.acc?"),
        ("stat == 'x'", 1, "did you mean state?"),
        ("acc == 1", 1, "did you mean metrics.acc or params.acc?"),
        ("duration > 5", 1, "did you mean duration_seconds?"),
        ("seed == 1", 1, "did you mean seeds.seed?"),
        ("branch == 'main'", 1, "did you mean git.branch?"),
        ("params == 1", 1, "write params.NAME"),
        ("started_at > 'yesterday'", 14, "'yesterday' is no time"),
        ("ended_at < 2026", 12, "2026 is no time"),
        ("started_at > '2026-11-21T10:00+02:00'", 14, "in UTC"),
        ("state in 'FAILED'", 10, "expected `(`"),
        ("state in ()", 11, "expected a number"),
        ("params.n in (" + ", ".join(["1"] * 101) + ")", 315, "100 values at most"),
    ],
)
def test_a_bad_expression_names_the_position(expression: str, position: int, reason: str) -> None:
    with pytest.raises(QueryError, match=f"at position {position} ") as caught:
        parse(expression)
    assert reason in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_parses_or_is_a_query_error(text: str) -> None:
    try:
        condition = parse(text)
    except QueryError:
        return
    assert matches(condition, RUN) in {True, False}


def test_deep_nesting_is_refused_not_a_crash() -> None:
    with pytest.raises(QueryError, match="nested too deeply"):
        parse("(" * 1000 + "state == 'x'" + ")" * 1000)
