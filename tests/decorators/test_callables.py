"""Kinds of callable, by decorators, by what must stay as it was."""

import asyncio
import inspect
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from decorators.kinds import KINDS, Decorate, use_up
from decorators.log import Log

from instrument import checkpoint, reproducible, track_artifacts
from instrument.errors import UsageError
from instrument.records import CallFinished, CallStarted
from instrument.vocabulary import RunState


def _all_three(function: Any) -> Any:
    return reproducible(track_artifacts(checkpoint(save_best=False, frequency=10)(function)))


def _all_three_upside_down(function: Any) -> Any:
    return checkpoint(save_best=False, frequency=10)(track_artifacts()(reproducible()(function)))


DECORATORS: dict[str, Decorate] = {
    "@reproducible": reproducible,
    "@reproducible()": reproducible(name="named"),
    "@track_artifacts": track_artifacts,
    "@track_artifacts()": track_artifacts(),
    "@checkpoint()": checkpoint(save_best=False, frequency=10),
    "all three": _all_three,
    "all three, upside down": _all_three_upside_down,
}


class Odd(Exception):  # noqa: N818 - an exception of the user's, whatever it is called
    """Not one of ours."""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=DECORATORS)
def decorate(request: pytest.FixtureRequest) -> Decorate:
    return DECORATORS[request.param]


@pytest.fixture(params=["recording", "disabled"])
def mode(request: pytest.FixtureRequest, disabled: Callable[[], None]) -> str:
    if request.param == "disabled":
        disabled()
    return str(request.param)


def test_looks_like_the_function(kind: str, decorate: Decorate) -> None:
    built = KINDS[kind](decorate)
    for attribute in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__"):
        assert getattr(built.decorated, attribute) == getattr(built.plain, attribute)
    assert inspect.signature(built.decorated) == inspect.signature(built.plain)
    assert inspect.unwrap(built.decorated).__code__ is built.plain.__code__
    for question in (
        inspect.isfunction,
        inspect.ismethod,
        inspect.iscoroutinefunction,
        asyncio.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
    ):
        assert question(built.decorated) == question(built.plain)


def test_gives_the_same_objects(kind: str, decorate: Decorate, mode: str, log: Log) -> None:
    built = KINDS[kind](decorate)
    value = object()
    yielded, returned = use_up(built.decorated(value, note="x"))
    plain_yielded, plain_returned = use_up(built.plain(value, note="x"))
    assert [id(item) for item in yielded] == [id(item) for item in plain_yielded]
    assert returned is plain_returned
    if mode == "disabled":
        assert log.runs() == []
    else:
        assert log.run().state is RunState.COMPLETED
        (started,) = log.of(CallStarted)
        assert started.arguments == {"value": {"type": "object"}, "fail": None, "note": "x"}
        assert [call.outcome for call in log.of(CallFinished)] == ["returned"]


def test_raises_the_same_exception(kind: str, decorate: Decorate, mode: str, log: Log) -> None:
    built = KINDS[kind](decorate)
    error = Odd("the user's own")
    with pytest.raises(Odd) as caught:
        use_up(built.decorated(1, error))
    assert caught.value is error
    assert error.__cause__ is None
    assert error.__context__ is None
    tail = traceback.extract_tb(error.__traceback__)[-1]
    assert (tail.filename, tail.line) == (_source(built.plain), "raise fail")
    if mode == "recording":
        run = log.run()
        assert run.state is RunState.FAILED
        assert run.exception["message"] == "the user's own"
        assert [call.outcome for call in log.of(CallFinished)] == ["raised"]


def test_wrong_arguments_are_the_function_s_to_refuse(kind: str, mode: str) -> None:
    built = KINDS[kind](reproducible)
    with pytest.raises(TypeError) as plain:
        built.plain(1, nothing=2)
    with pytest.raises(TypeError) as decorated:
        use_up(built.decorated(1, nothing=2))
    assert str(decorated.value) == str(plain.value)


@pytest.mark.parametrize("decorator", [reproducible, track_artifacts, checkpoint])
@pytest.mark.parametrize("wrong", ["baseline", 3, ["dataset:v1"], property(id), int])
def test_misuse_is_told_in_one_line(decorator: Any, wrong: Any) -> None:
    with pytest.raises(UsageError, match=f"@{decorator.__name__}") as caught:
        decorator(wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("decorator", "options", "message"),
    [
        (reproducible, {"name": 3}, "name=3 is not usable"),
        (reproducible, {"capture_level": 4}, "capture_level=4 is unknown; use 1, 2 or 3"),
        (reproducible, {"seed": "42"}, "seed='42' cannot be set"),
        (reproducible, {"seed": True}, "seed=True cannot be set"),
        (reproducible, {"deterministic": True}, "needs a seed"),
        (track_artifacts, {"inputs": ["a b"]}, "'a b' cannot name an artifact"),
        (track_artifacts, {"outputs": ["model:v1"]}, "'model:v1' cannot name an artifact"),
        (track_artifacts, {"outputs": ["m", "m"]}, "has a name twice"),
        (checkpoint, {"frequency": "often"}, "frequency='often' is unknown"),
        (checkpoint, {"frequency": 0}, "frequency=0 is unknown"),
        (checkpoint, {"frequency": True}, "frequency=True is unknown"),
        (checkpoint, {"mode": "best"}, "mode='best' is unknown"),
        (checkpoint, {"metric": 3}, "metric=3 is not the name"),
    ],
)
def test_wrong_options_are_told_at_decoration(
    decorator: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        decorator(**options)


def _source(function: Any) -> str:
    return str(inspect.unwrap(function).__code__.co_filename)
