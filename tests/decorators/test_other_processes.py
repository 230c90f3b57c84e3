"""Decorated functions that travel: still decorated on arrival, and on the record of the sender."""

import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from decorators import worker_functions
from decorators.log import Log

from instrument import ExperimentContext
from instrument.records import CallFinished, CallStarted, ProcessStarted

FUNCTIONS = ["double", "stacked", "counted", "later", "several", "Worker.times"]


def _named(name: str) -> Any:
    if name == "Worker.times":
        return worker_functions.Worker(2).times
    return getattr(worker_functions, name)


@pytest.mark.parametrize("name", [*FUNCTIONS, "Worker"])
@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_pickles_as_the_function_that_it_stands_for(
    name: str, dumps: Callable[[Any], bytes]
) -> None:
    original = _named(name)
    copy = pickle.loads(dumps(original))  # noqa: S301 - our own bytes
    assert getattr(copy, "__func__", copy) is getattr(original, "__func__", original)


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_a_pool_of_processes_takes_part_in_the_run(method: str, log: Log) -> None:
    context = multiprocessing.get_context(method)
    with (
        ExperimentContext(monitor_hardware=False) as run,
        ProcessPoolExecutor(2, mp_context=context) as pool,
    ):
        assert list(pool.map(worker_functions.double, range(4))) == [0, 2, 4, 6]
        assert pool.submit(worker_functions.Worker(3).times, 2).result() == 6
        assert pool.submit(worker_functions.Worker.of_class, 2).result() == 4
        assert pool.submit(worker_functions.Worker.of_nobody, 2).result() == 4
    assert log.run().id == run.id
    functions = sorted(call.function.rpartition(":")[2] for call in log.of(CallStarted))
    assert functions == ["Worker.of_class", "Worker.of_nobody", "Worker.times"] + ["double"] * 4
    assert [call.outcome for call in log.of(CallFinished)] == ["returned"] * 7
    assert log.run().metrics == {"n0": 0, "n1": 1, "n2": 2, "n3": 3}
    started = log.of(ProcessStarted)
    assert [process.owner for process in started] == [True] + [False] * (len(started) - 1)


def test_a_forked_child_counts_its_calls_from_one(log: Log) -> None:
    with ExperimentContext(monitor_hardware=False):
        worker_functions.double(1)
        process = multiprocessing.get_context("fork").Process(
            target=worker_functions.double, args=(2,)
        )
        process.start()
        process.join()
        assert process.exitcode == 0
        worker_functions.double(3)
    ids = {call.arguments["n"]: call.call_id for call in log.of(CallStarted)}
    assert ids == {1: 1, 2: 1, 3: 2}


SENDER = """
    import asyncio, pathlib, subprocess, sys
    import cloudpickle
    from instrument import ExperimentContext, checkpoint, reproducible, track_artifacts

    FACTOR = 2

    @track_artifacts(outputs=["part"])
    @reproducible(name="sent", seed=3)
    def double(n):
        return FACTOR * n

    @checkpoint(save_best=False, frequency=100)
    def counted(n):
        yield FACTOR * n

    @reproducible
    async def later(n):
        return FACTOR * n

    @reproducible
    async def several(n):
        yield FACTOR * n

    @reproducible
    def factorial(n):
        return n * factorial(n - 1) if n > 1 else 1

    class Worker:
        @reproducible
        def times(self, n):
            return FACTOR * n

    def closure(factor):
        @reproducible
        def times(n):
            return factor * n
        return times

    functions = [double, counted, later, several, factorial, Worker().times, closure(2)]
    with ExperimentContext(monitor_hardware=False):
        double(0)
        path = pathlib.Path(sys.argv[1]) / "functions.pickle"
        path.write_bytes(cloudpickle.dumps(functions))
        subprocess.run([sys.executable, sys.argv[2], path], check=True)
"""

RECEIVER = """
    import pathlib, pickle, sys
    from decorators.kinds import use_up

    functions = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
    assert "decorators" not in sys.modules[functions[0].__module__].__name__
    assert [use_up(function(2)) for function in functions] == [
        ([], 4), ([4], None), ([], 4), ([4], None), ([], 2), ([], 4), ([], 4)
    ]
"""


def test_cloudpickle_takes_decorated_functions_of_main_to_another_process(
    tmp_path: Path, log: Log
) -> None:
    sender, receiver = tmp_path / "sender.py", tmp_path / "receiver.py"
    sender.write_text(textwrap.dedent(SENDER))
    receiver.write_text(textwrap.dedent(RECEIVER))
    subprocess.run([sys.executable, str(sender), str(tmp_path), str(receiver)], check=True)
    run = log.run()
    names = [call.function for call in log.of(CallStarted)]
    assert names == ["__main__:double"] * 2 + [
        "__main__:counted",
        "__main__:later",
        "__main__:several",
        "__main__:factorial",
        "__main__:factorial",
        "__main__:Worker.times",
        "__main__:closure.<locals>.times",
    ]
    digests = {call.source_digest for call in log.of(CallStarted) if "double" in call.function}
    assert len(digests) == 1
    assert None not in digests
    assert run.outputs == ["part:v1", "part:v2"]
    assert run.recording.problems == []
    assert len(log.of(ProcessStarted)) == 2


def test_without_a_run_each_process_opens_its_own(tmp_path: Path, log: Log) -> None:
    code = "from decorators.worker_functions import double; assert double(2) == 4"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=True)
    assert [run.name for run in log.runs()] == ["worker", "worker"]


def test_disabled_in_another_process(log: Log) -> None:
    code = "from decorators.worker_functions import double; assert double(2) == 4"
    environment = {**os.environ, "INSTRUMENT_MODE": "disabled"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert log.runs() == []
