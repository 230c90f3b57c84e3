"""What `@reproducible` puts on the record, alone and inside a run."""

import asyncio
import functools
import gc
import json
import os
import random
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from decorators.log import Log

from instrument import ExperimentContext, current_run, log_metrics, reproducible, track_artifacts
from instrument.canonical import digest_of_bytes
from instrument.errors import UsageError
from instrument.records import (
    CallFinished,
    CallStarted,
    ExceptionRaised,
    Metrics,
    Params,
    Problem,
    SeedsRecorded,
)
from instrument.vocabulary import RunState


@reproducible(name="baseline", capture_level=1)
def train(config: dict[str, Any], epochs: int = 3, api_key: str = "k") -> float:
    log_metrics({"loss": 0.5}, step=0)
    return float(config["lr"] * epochs)


def test_a_call_is_a_run(log: Log) -> None:
    assert train({"lr": 0.1, "optim": {"name": "sgd"}}) == pytest.approx(0.3)
    run = log.run()
    assert (run.name, run.state, run.function) == (
        "baseline",
        RunState.COMPLETED,
        f"{__name__}:train",
    )
    assert run.params == {
        "config.lr": 0.1,
        "config.optim.name": "sgd",
        "epochs": 3,
        "api_key": "[redacted]",
    }
    assert [params.source for params in log.of(Params)] == ["call"]
    assert run.metrics == {"loss": 0.5}
    (started,), (finished,) = log.of(CallStarted), log.of(CallFinished)
    assert (started.call_id, started.parent_call_id) == (1, None)
    source = '@reproducible(name="baseline", capture_level=1)\ndef train('
    text = Path(__file__).read_text()
    start = text.index(source)
    end = text.index("epochs)\n", start) + len("epochs)\n")
    assert started.source_digest == digest_of_bytes(text[start:end].encode())
    assert finished.call_id == 1
    assert 0 <= finished.duration_seconds < 60
    assert current_run() is None


def test_inside_a_run_it_takes_part(log: Log) -> None:
    with ExperimentContext(name="mine", monitor_hardware=False) as run:
        train({"lr": 0.1})
        train({"lr": 0.2})
    assert log.run().id == run.id
    assert log.run().params == {}
    assert [call.call_id for call in log.of(CallStarted)] == [1, 2]
    assert [call.arguments["config"] for call in log.of(CallStarted)] == [{"lr": 0.1}, {"lr": 0.2}]
    assert log.run().metrics == {"loss": 0.5}


@reproducible
def fails(error: BaseException) -> None:
    raise error


@reproducible
def calls_what_fails(error: BaseException) -> None:
    fails(error)


def test_an_exception_is_recorded_once_though_it_passes_two_calls(log: Log) -> None:
    with ExperimentContext(monitor_hardware=False):
        for call in (calls_what_fails, fails):
            with pytest.raises(ValueError, match="wrong"):
                call(ValueError("wrong"))
    assert [error.type for error in log.of(ExceptionRaised)] == ["builtins.ValueError"] * 2
    assert "raise error" in log.of(ExceptionRaised)[0].traceback
    assert [call.outcome for call in log.of(CallFinished)] == ["raised"] * 3
    assert log.run().state is RunState.COMPLETED
    assert log.run().exception is None


class Untellable(Exception):  # noqa: N818 - an exception of the user's
    def __str__(self) -> str:
        raise RuntimeError("do not ask")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (SystemExit(0), RunState.COMPLETED),
        (SystemExit(None), RunState.COMPLETED),
        (SystemExit(3), RunState.FAILED),
        (KeyboardInterrupt(), RunState.INTERRUPTED),
        (asyncio.CancelledError(), RunState.INTERRUPTED),
        (Untellable(), RunState.FAILED),
        (StopIteration(), RunState.FAILED),
    ],
)
def test_what_becomes_of_the_run(error: BaseException, state: RunState, log: Log) -> None:
    with pytest.raises(type(error)) as caught:
        fails(error)
    assert caught.value is error
    assert log.run().state is state


def test_a_cancelled_task_is_interrupted(log: Log) -> None:
    @reproducible
    async def waits() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(waits())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert log.run().state is RunState.INTERRUPTED


def _states() -> tuple[str, str, str]:
    return (
        repr(random.getstate()),
        repr(np.random.get_state()),  # noqa: NPY002 - the state that old code uses
        torch.get_rng_state().numpy().tobytes().hex(),
    )


def _draw() -> tuple[float, float, float]:
    legacy = float(np.random.rand())  # noqa: NPY002 - as above
    return random.random(), legacy, float(torch.rand(1))


def test_random_state_is_untouched_unless_asked(log: Log) -> None:
    before = _states()
    reproducible(lambda: None)()
    with ExperimentContext(monitor_hardware=False):
        reproducible(lambda: None)()
    assert _states() == before
    assert {seeds.seed for seeds in log.of(SeedsRecorded)} == {None}


@pytest.mark.parametrize("inside", [True, False])
def test_seeds_are_set_for_each_call_when_asked(inside: bool, log: Log) -> None:
    drawn = reproducible(seed=42)(_draw)
    if inside:
        with ExperimentContext(monitor_hardware=False):
            results = {drawn(), drawn()}
    else:
        results = {drawn(), drawn()}
    assert len(results) == 1
    for run in log.runs():
        assert run.seeds["seed"] == 42
        assert {"random", "numpy", "torch"} <= set(run.seeds["set_in"])


def test_the_seed_of_a_run_is_its_own_whatever_its_calls_set(log: Log) -> None:
    with ExperimentContext(seed=3, monitor_hardware=False):
        reproducible(seed=7)(_draw)()
    assert log.run().seeds["seed"] == 3
    assert [seeds.seed for seeds in log.of(SeedsRecorded)] == [3, 7]


def test_threads_and_tasks_do_not_share_runs(log: Log) -> None:
    barrier = threading.Barrier(4)

    @reproducible
    def work(n: int) -> str:
        barrier.wait(30)
        log_metrics({"n": n})
        run = current_run()
        assert run is not None
        barrier.wait(30)
        return run.id

    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(work, range(4)))
    assert len(set(ids)) == 4
    for n, run_id in enumerate(ids):
        assert [metrics.values for metrics in log.of(Metrics, run_id)] == [{"n": n}]
        assert [call.call_id for call in log.of(CallStarted, run_id)] == [1]

    @reproducible
    async def task(n: int) -> str:
        await asyncio.sleep(0.01)
        log_metrics({"n": n})
        run = current_run()
        assert run is not None
        return run.id

    async def main() -> list[str]:
        return await asyncio.gather(*map(task, range(4)))

    ids = asyncio.run(main())
    assert len(set(ids)) == 4
    for n, run_id in enumerate(ids):
        assert [metrics.values for metrics in log.of(Metrics, run_id)] == [{"n": n}]


def test_threads_take_part_in_a_run_that_the_user_opened(log: Log) -> None:
    @reproducible
    def work(n: int) -> None:
        log_metrics({f"n{n}": n})

    with ExperimentContext(monitor_hardware=False), ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(40)))
    assert len(log.run().metrics) == 40
    assert sorted(call.call_id for call in log.of(CallStarted)) == list(range(1, 41))


def test_the_name_holds_however_decorators_are_stacked(log: Log) -> None:
    track_artifacts()(reproducible(name="mine")(lambda: None))()
    reproducible(name="mine")(track_artifacts()(lambda: None))()
    assert [run.name for run in log.runs()] == ["mine", "mine"]
    assert len(log.of(CallStarted)) == 2


def test_what_was_set_on_a_decorated_function_stays_through_the_next_decorator() -> None:
    inner: Any = reproducible(lambda: 1)
    inner.tag = "mine"
    outer: Any = track_artifacts(inner)
    assert outer.tag == "mine"
    assert outer.__wrapped__ is inner.__wrapped__


def test_a_stranger_s_decorator_in_between_is_called(log: Log) -> None:
    def twice(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper() -> Any:
            return [function(), function()]

        return wrapper

    assert reproducible(twice(reproducible(lambda: 1)))() == [1, 1]
    assert [call.parent_call_id for call in log.of(CallStarted)] == [None, 1, 1]


def test_our_own_failure_never_reaches_the_user(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(ExperimentContext, "start", broken)
    assert reproducible(lambda: "value")() == "value"
    assert list(reproducible(lambda: iter([1]))()) == [1]
    assert capfd.readouterr().err.count("a bug of ours (your run goes on)") == 2


def test_a_strict_run_raises_our_own_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(ExperimentContext, "start", broken)
    monkeypatch.setenv("INSTRUMENT_STRICT", "1")
    with pytest.raises(RuntimeError, match="a bug of ours"):
        reproducible(lambda: "value")()


def test_disabled_the_functions_that_speak_to_a_run_still_work(
    disabled: Callable[[], None], log: Log
) -> None:
    disabled()
    assert train({"lr": 0.1}, 1) == pytest.approx(0.1)
    assert log.runs() == []


def _drawn_of_each_kind() -> list[float]:
    @reproducible(seed=42)
    async def coroutine() -> float:
        return random.random()

    @reproducible(seed=42)
    def generator() -> Iterator[float]:
        yield random.random()

    @reproducible(seed=42)
    async def async_generator() -> AsyncIterator[float]:
        yield random.random()

    async def both() -> list[float]:
        return [await coroutine(), *[value async for value in async_generator()]]

    function = reproducible(seed=42)(random.random)
    return [function(), *generator(), *asyncio.run(both())]


def test_disabled_seeds_are_set_all_the_same(disabled: Callable[[], None], log: Log) -> None:
    recorded = _drawn_of_each_kind()
    assert len(log.runs()) == 4
    disabled()
    assert _drawn_of_each_kind() == recorded
    assert len(set(recorded)) == 1
    assert len(log.runs()) == 4


def test_disabled_without_a_seed_random_state_is_untouched(disabled: Callable[[], None]) -> None:
    disabled()
    before = _states()
    assert reproducible(lambda: 1)() == 1
    assert _states() == before


def test_seeds_are_set_where_recording_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError("broken")

    drawn = reproducible(seed=42)(random.random)
    expected = drawn()
    monkeypatch.setattr(ExperimentContext, "start", broken)
    assert drawn() == expected


_IMPORTS_INSIDE = """
from instrument import ExperimentContext, reproducible

@reproducible(seed=3)
def late():
    import numpy

@reproducible
def unasked():
    import numpy

with ExperimentContext(monitor_hardware=False, capture_level=1):
    unasked() if {first!r} else None
    late()
    late()
"""


@pytest.mark.parametrize("first", [False, True])
def test_a_library_imported_after_the_seed_is_told_once(first: bool, log: Log) -> None:
    script = _IMPORTS_INSIDE.format(first=first)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    problems = [problem for problem in log.of(Problem) if "seed" in problem.doing]
    assert [problem.doing for problem in problems] == ([] if first else ["seed numpy"])


def test_bad_settings_are_the_user_s_to_hear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTRUMENT_CAPTURE_LEVEL", "9")
    with pytest.raises(UsageError, match="capture level 9 is unknown"):
        reproducible(lambda: None)()


def test_finished_runs_are_forgotten() -> None:
    def run_id() -> weakref.ref[ExperimentContext]:
        run = current_run()
        assert run is not None
        return weakref.ref(run)

    kept = [reproducible(run_id)()]
    with ExperimentContext(monitor_hardware=False):
        kept.append(reproducible(run_id)())
    gc.collect()
    assert [reference() for reference in kept] == [None, None]


SCRIPT = """
import sys, time
from instrument import reproducible

@reproducible
def main():
    print("ready", flush=True)
    {body}

main()
"""


@pytest.mark.parametrize(
    ("body", "exit_code", "state"),
    [
        ("sys.exit(0)", 0, "COMPLETED"),
        ("sys.exit(4)", 4, "FAILED"),
        ("raise ValueError('wrong')", 1, "FAILED"),
        # Short sleeps: Python misses a signal that comes in the moment before it begins to wait.
        ("while True: time.sleep(0.01)", -signal.SIGINT, "INTERRUPTED"),
    ],
)
def test_exit_codes_are_the_script_s_own(
    body: str, exit_code: int, state: str, tmp_path: Path, log: Log
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(body=body))
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    if exit_code < 0:
        os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == exit_code, errors
    assert log.run().state == state
    assert "instrument/" not in json.dumps(errors.splitlines()[-1:])
