"""Plain functions that are diverted: who holds one has the same function, and can send it away."""
# ruff: noqa: S301 - the pickles are our own

import inspect
import multiprocessing
import pickle
import traceback
from collections.abc import Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import pandas
import pytest
import torch
from intercept.loading import loads_of
from pandas import read_csv

from instrument import ExperimentContext
from instrument.intercept.diverting import Diversion, can_be_diverted, is_diverted

bound_before = partial(torch.load, weights_only=True)


def _closing(step: int) -> Callable[..., Any]:
    def add(a: int, *, b: int = 2) -> int:
        """Add."""
        return a + b + step

    return add


@pytest.fixture
def seen() -> list[Any]:
    return []


@pytest.fixture
def diverted(seen: list[Any]) -> Iterator[Callable[[Any], Any]]:
    """Diverts a function until the end of the test."""
    made: list[Diversion] = []

    def around(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        seen.append((instance, args, kwargs))
        return wrapped(*args, **kwargs)

    def divert(function: Any) -> Any:
        made.append(Diversion(function, around))
        made[-1].begin()
        return function

    yield divert
    for diversion in made:
        diversion.end()


def test_arguments_go_through_as_they_are(diverted: Any, seen: list[Any]) -> None:
    add = diverted(_closing(10))
    assert (add(1), add(a=1, b=5)) == (13, 16)
    assert seen == [(None, (1,), {}), (None, (), {"a": 1, "b": 5})]
    with pytest.raises(TypeError, match=r"add\(\) missing 1 required positional argument: 'a'"):
        add()


def test_it_looks_as_before_and_nothing_is_left_of_it(seen: list[Any]) -> None:
    add: Any = _closing(1)
    before = (str(inspect.signature(add)), inspect.getsource(add), vars(add).copy(), add.__code__)
    diversion = Diversion(add, lambda wrapped, _, args, kwargs: wrapped(*args, **kwargs))
    for _ in range(2):
        diversion.begin()
        assert (str(inspect.signature(add)), inspect.getsource(add)) == before[:2]
        assert inspect.unwrap(add) is add
        assert is_diverted(add)
        diversion.end()
        assert vars(add) == before[2]
        assert add.__code__ is before[3]


def test_what_somebody_else_put_there_meanwhile_stays() -> None:
    def theirs(a: int) -> int:
        return a * 100

    def function(a: int) -> int:
        return a

    held: Any = function
    diversion = Diversion(held, lambda wrapped, _, args, kwargs: wrapped(*args, **kwargs))
    diversion.begin()
    function.__code__ = theirs.__code__
    diversion.end()
    assert function(2) == 200


def test_generators_and_coroutines_are_not_diverted() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def later() -> None: ...

    assert can_be_diverted(_closing)
    assert not any(map(can_be_diverted, (numbers, later, len, Path)))


def test_the_traceback_ends_in_the_function(diverted: Any) -> None:
    def fail(error: Exception) -> None:
        raise error

    diverted(fail)
    error = ValueError("x")
    with pytest.raises(ValueError, match="x") as info:
        fail(error)
    assert info.value is error
    last = traceback.extract_tb(error.__traceback__)[-1]
    assert (last.name, last.line) == ("fail", "raise error")
    assert "^" not in "".join(traceback.format_tb(error.__traceback__)[1:2])


def test_a_function_that_goes_by_value_goes_as_it_was(diverted: Any) -> None:
    add = diverted(_closing(1))
    data = cloudpickle.dumps(add)
    assert b"instrument" not in data.replace(__file__.encode(), b"")
    assert pickle.loads(data)(1) == 4


def _answer(calls: list[Callable[..., Any]], path: str, queue: Any) -> None:
    queue.put([call(path).tolist() for call in calls])


def test_what_was_bound_before_goes_to_a_spawned_worker(tmp_path: Path) -> None:
    path = str(tmp_path / "x.pt")
    torch.save(torch.ones(2), path)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with ExperimentContext(monitor_hardware=False):
        calls = [bound_before, torch.load, partial(torch.serialization.load)]
        worker = context.Process(target=_answer, args=(calls, path, queue))
        worker.start()
        answers = queue.get(timeout=100)
        worker.join()
    assert answers == [[1.0, 1.0]] * 3


def test_what_was_bound_before_in_an_object_is_recorded(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "x.pt")
    found = loads_of(lambda: bound_before(tmp_path / "x.pt"))
    assert [load.loader for load in found.loaded] == ["torch.load"]


def test_caches_know_functions_again(tmp_path: Path) -> None:
    """Those of joblib ask for name, source and place, those of datasets for the pickle."""
    fingerprint = pytest.importorskip("datasets.fingerprint", reason="datasets is not installed")
    read = pandas.read_csv  # datasets looks for what it needs, and pickles that too

    def prepare(path: str) -> Any:
        return read(path), read_csv(path), torch.load(path), bound_before

    memory = joblib.Memory(tmp_path / "cache", verbose=0)
    torch.save(torch.ones(2), tmp_path / "x.pt")
    cached = memory.cache(torch.load)
    cached(tmp_path / "x.pt")
    before = fingerprint.Hasher.hash(prepare)
    (tmp_path / "x.pt").unlink()
    with ExperimentContext(monitor_hardware=False):
        assert fingerprint.Hasher.hash(prepare) == before
        assert memory.cache(torch.load)(tmp_path / "x.pt").tolist() == [1.0, 1.0]
        assert cached(tmp_path / "x.pt").tolist() == [1.0, 1.0]


def test_a_decorator_of_the_user_around_it_works_afterwards(diverted: Any) -> None:
    add = diverted(_closing(1))

    @wraps(add)
    def mine(*args: Any, **kwargs: Any) -> Any:
        return add(*args, **kwargs)

    assert inspect.unwrap(mine) is add
    assert str(inspect.signature(mine)) == "(a: int, *, b: int = 2) -> int"
    assert mine(1) == 4
