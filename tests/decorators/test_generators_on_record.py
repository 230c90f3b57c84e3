"""A generator's call lasts until it is exhausted or closed, and stays out of its consumer."""

import asyncio
import gc
from collections.abc import AsyncIterator, Generator, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from decorators.log import Log

from instrument import ExperimentContext, current_run, log_metrics, reproducible
from instrument.records import CallFinished, CallStarted, Metrics
from instrument.vocabulary import RunState


@reproducible
def echo(log: list[Any]) -> Generator[Any, Any, str]:
    try:
        got = yield "first"
        while True:
            log.append(got)
            try:
                got = yield got
            except KeyError as error:
                got = error
            if got == "stop":
                return "returned"
    finally:
        log.append("cleaned up")


def test_send_throw_and_return_pass_through() -> None:
    seen: list[Any] = []
    generator = echo(seen)
    assert next(generator) == "first"
    assert generator.send("a") == "a"
    error = KeyError("thrown")
    assert generator.throw(error) is error
    with pytest.raises(StopIteration) as stop:
        generator.send("stop")
    assert stop.value.value == "returned"
    assert seen == ["a", error, "cleaned up"]


def test_an_error_thrown_in_comes_out_and_fails_the_run(log: Log) -> None:
    generator = echo([])
    next(generator)
    error = ValueError("thrown")
    with pytest.raises(ValueError, match="thrown") as caught:
        generator.throw(error)
    assert caught.value is error
    assert log.run().state is RunState.FAILED


def test_nothing_is_recorded_before_it_runs(log: Log) -> None:
    generator = echo([])
    assert log.runs() == []
    generator.close()
    assert log.runs() == []


def test_a_closed_generator_ends_its_run_in_order(log: Log) -> None:
    seen: list[Any] = []
    generator = echo(seen)
    next(generator)
    generator.close()
    assert seen == ["cleaned up"]
    assert [call.outcome for call in log.of(CallFinished)] == ["closed"]
    assert log.run().state is RunState.COMPLETED


def test_an_abandoned_generator_is_closed_too(log: Log) -> None:
    for item in echo([]):
        assert item == "first"
        break
    gc.collect()
    assert [call.outcome for call in log.of(CallFinished)] == ["closed"]


def test_an_error_while_closing_comes_out(log: Log) -> None:
    @reproducible
    def stubborn() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise ValueError("while closing")

    generator = stubborn()
    next(generator)
    with pytest.raises(ValueError, match="while closing"):
        generator.close()  # type: ignore[attr-defined]
    assert log.run().state is RunState.FAILED


variable: ContextVar[str] = ContextVar("variable", default="outside")


@reproducible(name="inner")
def asks() -> Iterator[Any]:
    variable.set("inside")
    while True:
        log_metrics({"inside": 1.0})
        yield current_run()


def test_its_run_is_current_only_inside_it(log: Log) -> None:
    with ExperimentContext(name="outer", monitor_hardware=False) as outer:
        pass
    generator = asks()
    run = next(generator)
    assert run.name == "inner"
    assert variable.get() == "inside"  # a generator shares its consumer's context, as always
    with ExperimentContext(name="second", monitor_hardware=False) as second:
        assert current_run() is second
        assert next(generator) is run
        assert current_run() is second
        generator.close()  # type: ignore[attr-defined]
        assert current_run() is second
    assert current_run() is None
    assert len(log.of(Metrics, run.id)) == 2
    assert log.of(Metrics, second.id) == log.of(Metrics, outer.id) == []


def test_two_at_once_are_two_runs(log: Log) -> None:
    assert len(list(zip(range(3), asks(), asks(), strict=False))) == 3
    gc.collect()
    assert [run.state for run in log.runs()] == [RunState.COMPLETED] * 2
    assert [len(log.of(Metrics, run.id)) for run in log.runs()] == [3, 3]


def test_it_takes_part_in_the_run_it_was_started_in(log: Log) -> None:
    with ExperimentContext(monitor_hardware=False) as run:
        assert next(asks()) is run
        gc.collect()
    assert [call.outcome for call in log.of(CallFinished, run.id)] == ["closed"]
    assert len(log.runs()) == 1


@reproducible
def outer_generator() -> Iterator[int]:
    yield from inner_generator()
    plain_call()


@reproducible
def inner_generator() -> Iterator[int]:
    yield 1
    plain_call()
    yield 2


@reproducible
def plain_call() -> None:
    pass


def test_calls_know_the_call_around_them(log: Log) -> None:
    for _ in outer_generator():
        pass
    names = {call.call_id: call.function.rpartition(":")[2] for call in log.of(CallStarted)}
    around = [(names[c.call_id], names.get(c.parent_call_id)) for c in log.of(CallStarted)]
    assert around == [
        ("outer_generator", None),
        ("inner_generator", "outer_generator"),
        ("plain_call", "inner_generator"),
        ("plain_call", "outer_generator"),
    ]


@reproducible(name="inner")
async def async_echo(log: list[Any]) -> AsyncIterator[Any]:
    try:
        got = yield "first"
        while True:
            await asyncio.sleep(0)
            log.append(got)
            try:
                got = yield current_run()
            except KeyError as error:
                log.append(error)
    finally:
        await asyncio.sleep(0)
        log.append("cleaned up")


def test_async_send_throw_and_close_pass_through(log: Log) -> None:
    seen: list[Any] = []
    error = KeyError("thrown")

    async def use() -> None:
        generator: Any = async_echo(seen)
        assert await anext(generator) == "first"
        assert (await generator.asend("a")).name == "inner"
        assert current_run() is not None  # the only open run of the process
        await generator.athrow(error)
        await generator.aclose()
        assert current_run() is None

    asyncio.run(use())
    assert seen == ["a", error, "a", "cleaned up"]
    assert [call.outcome for call in log.of(CallFinished)] == ["closed"]
    assert log.run().state is RunState.COMPLETED


def test_async_error_comes_out_and_fails_the_run(log: Log) -> None:
    error = ValueError("thrown")

    async def use() -> None:
        generator: Any = async_echo([])
        await anext(generator)
        await generator.athrow(error)

    with pytest.raises(ValueError, match="thrown") as caught:
        asyncio.run(use())
    assert caught.value is error
    assert log.run().state is RunState.FAILED


def test_an_abandoned_async_generator_is_closed_by_the_loop(log: Log) -> None:
    seen: list[Any] = []

    async def use() -> None:
        async for item in async_echo(seen):
            assert item == "first"
            break
        gc.collect()
        await asyncio.sleep(0.1)

    asyncio.run(use())
    assert seen == ["cleaned up"]
    assert [call.outcome for call in log.of(CallFinished)] == ["closed"]
