"""Threads of ours that are used again: whoever is idle takes the next task, none is forgotten."""

import os
import random
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

import pytest

from instrument import crew

SEEN: ContextVar[str] = ContextVar("seen", default="nothing")


@pytest.fixture(autouse=True)
def nobody_is_idle(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(crew, "_idle", deque())
    monkeypatch.setattr(crew, "IDLE_SECONDS", 0.05)
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("instrument-task"):
            thread.join(60)


def _thread_of(name: str) -> int:
    """The thread that does a task called `name`, which is waited for."""
    found: list[int] = []

    def work() -> None:
        assert threading.current_thread().name == name
        found.append(threading.get_ident())

    crew.begin(work, name).join()
    return found[0]


def test_one_after_the_other_takes_one_thread() -> None:
    assert len({_thread_of(f"instrument-task-{number}") for number in range(50)}) == 1


def test_two_at_once_take_two_and_each_has_a_context_of_its_own() -> None:
    may_end, told = threading.Event(), list[str]()

    def work() -> None:
        told.append(SEEN.get())
        SEEN.set("something")
        may_end.wait(60)

    tasks = [crew.begin(work, "instrument-task") for _ in range(2)]
    tasks[0].join(0.01)
    assert all(task.is_alive() for task in tasks)
    may_end.set()
    for task in tasks:
        task.join()
    crew.begin(work, "instrument-task").join()
    assert not any(task.is_alive() for task in tasks)
    assert told == ["nothing"] * 3


def test_who_is_called_just_as_it_retires_comes() -> None:
    """At whatever moment between idle and gone."""
    done = 0

    def work() -> None:
        nonlocal done
        done += 1

    for _ in range(20):
        time.sleep(crew.IDLE_SECONDS + random.uniform(-0.002, 0.002))
        task = crew.begin(work, "instrument-task")
        task.join(30)
        assert not task.is_alive()
    assert done == 20


def test_after_a_while_nobody_is_left() -> None:
    thread = _thread_of("instrument-task")
    deadline = time.monotonic() + 30
    while thread in {each.ident for each in threading.enumerate()}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not crew._idle


def test_who_died_while_waiting_is_not_called() -> None:
    _thread_of("instrument-task")
    (member,) = crew._idle
    deadline = time.monotonic() + 30
    while member.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    crew._idle.append(member)  # as one that had no memory to say so
    assert _thread_of("instrument-task")
    assert member not in crew._idle


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_task_that_raises_is_over_and_its_thread_is_not_called_again() -> None:
    def work() -> None:
        raise ValueError("odd")

    task = crew.begin(work, "instrument-task")
    task.join()
    assert not task.is_alive()
    assert not crew._idle


def test_a_forked_child_waits_for_none_of_its_parents_threads() -> None:
    may_end = threading.Event()
    _thread_of("instrument-task")

    def work() -> None:
        may_end.wait(60)

    task = crew.begin(work, "instrument-task")
    child = os.fork()
    if child == 0:
        task.join()
        os._exit(0 if not task.is_alive() and _thread_of("instrument-task") else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    may_end.set()
    task.join()


PROGRAM = """
import threading
from instrument import ExperimentContext
started = []
start = threading.Thread.start
def counted(thread):
    started.append(thread.name)
    start(thread)
threading.Thread.start = counted
for _ in range(3):
    with ExperimentContext(capture_level=1):
        pass
print(len(started))
"""


def test_runs_in_one_process_share_their_threads(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert int(result.stdout) < 8, result  # each run alone takes as many
