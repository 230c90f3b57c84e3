"""Search through SQL means exactly what `instrument.query.matches` means."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from instrument.clock import SystemClock
from instrument.query import FIELDS, All, Comparison, Condition, Not, Some, matches, parse
from instrument.records import CodeCaptured, ContentIdentified, DataRead, Metrics, Params, Record
from instrument.summary import RunSummary
from instrument.testing.samples import record_run, run_started
from instrument.vocabulary import GitState
from instrument_local import LocalStore, open_store

TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "b",
    "é",
    "漢字",
    "a\x00b",
    "0.1",
    "NaN",
    "Infinity",
    "-Infinity",
    "True",
]
NUMBERS = [0, 1, -1, 0.1, 1.0, 2**53 + 1, 2**62, 1e300, -0.0, 5e-324, 3]
VALUES: list[Any] = [*TEXTS, *NUMBERS, True, False, None, ["a", 1], [True], [], {"k": 1}, [None]]
NAMES = ["lr", "a.b", "x/y", "weird name", "é"]
METRICS: list[float | str] = [0, 1, 0.5, -1e9, 1e300, "NaN", "Infinity", "-Infinity"]

fields = st.sampled_from(
    [
        *FIELDS,
        *(f"params.{name}" for name in NAMES),
        *("params.none", "metrics.loss", "metrics.none"),
        *("git.commit", "git.branch", "git.dirty", "git.unknown", "git.root"),
    ]
)
literals = st.one_of(
    st.sampled_from([*TEXTS, *NUMBERS, True, False, None]),
    st.sampled_from([math.nan, math.inf, -math.inf, "run 1", "tag", "COMPLETED", "\udcff"]),
    st.floats(),
    st.integers(-(2**63), 2**63),
    st.text(max_size=3),
)
comparisons = st.builds(
    Comparison,
    fields,
    st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "~", "contains"]),
    literals,
)
conditions: st.SearchStrategy[Condition] = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(All, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Some, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    """Runs with every kind of value in every kind of field; the index lies beside the store."""
    place = tmp_path_factory.mktemp("search")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        store = open_store(place / "store", SystemClock())
        for number, value in enumerate(VALUES):
            record_run(store, f"run-{number:04}", *_records(number, value), finish=number % 3 > 0)
            store.seal(f"run-{number:04}")
        yield store


def _records(number: int, value: Any) -> Iterator[Record]:
    yield run_started(f"run {number}", *(["tag", "é"] if number % 2 else []))
    name = NAMES[number % len(NAMES)]
    yield Params(values={"lr": value, name: VALUES[-number]}, source="config")
    if number % 4:
        yield Metrics(values={"loss": METRICS[number % len(METRICS)]}, step=number)
    if number % 3:
        git = GitState(commit="abc", branch=None, dirty=bool(number % 2), root="a")
        yield CodeCaptured(git=git)


@pytest.fixture
def runs(store: LocalStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[RunSummary]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path(store.location).with_name("cache")))
    found = store.runs()
    assert len(found) == len(VALUES)
    return found


@settings(
    max_examples=600,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(condition=conditions)
@example(Comparison("params.lr", "!=", 0.1))
@example(Comparison("params.lr", "contains", None))
@example(Comparison("tags", "contains", "tag"))
@example(Not(Comparison("metrics.loss", "<", math.nan)))
def test_search_agrees_with_the_query_module(
    store: LocalStore, runs: list[RunSummary], condition: Condition
) -> None:
    wanted = [run.id for run in runs if matches(condition, run)]
    assert [run.id for run in store.runs(where=condition)] == wanted
    assert [run.id for run in store.runs(where=condition, limit=2)] == wanted[:2]


@pytest.mark.parametrize(
    "name", ["'; DROP TABLE run; --", "x' OR '1'='1", 'a"b', "%", "_", "a\nb", "a;b"]
)
def test_no_name_or_value_reaches_the_database_as_sql(store_path: Path, name: str) -> None:
    store = open_store(store_path, SystemClock())
    record_run(store, "run-0001", Params(values={name: name}, source="config"))
    record_run(store, "run-0002")
    for comparison in (Comparison(f"params.{name}", "==", name), Comparison("id", "==", name)):
        expected = ["run-0001"] if comparison.field != "id" else []
        assert [run.id for run in store.runs(where=comparison)] == expected
    assert len(store.runs()) == 2


def test_a_long_expression_is_answered(store_path: Path) -> None:
    store = open_store(store_path, SystemClock())
    record_run(store, "run-0001")
    text = " or ".join(["id == 'x'"] * 250) + " or id == 'run-0001'"
    assert [run.id for run in store.runs(where=parse(text))] == ["run-0001"]


def test_the_command_and_what_was_read_are_found(store_path: Path) -> None:
    digest = "sha256:4f6ae1" + "0" * 58
    read = DataRead(
        load_id=1, reader="pandas.read_csv", library="pandas 2", requested="iris.csv", rows=None,
        schema=None, facts={}, call_site=None, duration_seconds=0.1,
    )  # fmt: skip
    content = ContentIdentified(
        load_id=1, files=(), digest=digest, reason=None, hashing_seconds=0.0
    )
    store = open_store(store_path, SystemClock())
    record_run(store, "run-0001", read, content)
    record_run(store, "run-0002")
    for where in ("data ~ 'iris.csv'", "data ~ '4f6ae1'", "data != null"):
        assert [run.id for run in store.runs(where=parse(where))] == ["run-0001"], where
    [command] = {run.command for run in store.runs()}
    found = store.runs(where=Comparison("command", "==", " ".join(command)))
    assert len(found) == 2
