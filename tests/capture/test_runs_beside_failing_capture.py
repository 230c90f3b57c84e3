"""Whatever a run captures is made to raise, to hang and to return rubbish: the run is unharmed."""

import ast
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from capture.repositories import git, make_repository

import instrument
from instrument import ExperimentContext, crew
from instrument.capture import determinism, parts, snapshot
from instrument.capture.code import begin_code
from instrument.clock import SystemClock
from instrument.errors import NotFoundError, UsageError
from instrument.records import CodeCaptured, Problem, Record, SeedsRecorded
from instrument.registry import open_store

ROOM = Path(instrument.__file__).parent
CALLERS = ("background", "context", "recording")
"""The modules that capture something when a run starts, while it lasts, and when it ends."""


def entries() -> Iterator[tuple[str, str]]:
    """Each function that one of `CALLERS` takes from the capture room: module and name there."""
    for caller in CALLERS:
        for node in ast.walk(ast.parse((ROOM / f"{caller}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("instrument.capt"):
                module = import_module(str(node.module))
                is_late = node.col_offset > 0
                where = str(node.module) if is_late else f"instrument.{caller}"
                for alias in node.names:
                    if callable(getattr(module, alias.name)) and alias.name != "CodeReading":
                        yield where, alias.name


READING = [("instrument.capture.code", f"CodeReading.{name}") for name in
           ("finish", "is_whole", "complete")]  # fmt: skip
ENTRIES = [*entries(), *READING]


@pytest.fixture(autouse=True)
def in_a_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    make_repository(Path.cwd() / "project")
    monkeypatch.chdir("project")
    monkeypatch.setattr(snapshot, "_known", {})
    monkeypatch.setattr(parts, "_hanging", {})


class Shell:
    """As IPython's, in which cells have been executed."""

    history_manager = SimpleNamespace(input_hist_raw=["", "x = 1", "run()"])

    @classmethod
    def initialized(cls) -> bool:
        return True

    instance = classmethod(lambda cls: cls())


@pytest.fixture(autouse=True)
def in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = SimpleNamespace(InteractiveShell=Shell)
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.core.interactiveshell", kernel)


def replaced(monkeypatch: pytest.MonkeyPatch, where: str, name: str, bad: Any) -> None:
    *path, last = name.split(".")
    owner: Any = import_module(where)
    for part in path:
        owner = getattr(owner, part)
    good = getattr(owner, last)

    def spoilt(*arguments: Any) -> Any:
        good(*arguments)  # it leaves no git behind
        return bad()

    monkeypatch.setattr(owner, last, spoilt if path else bad)


def outcome(store_path: Path, level: int = 2) -> tuple[str, list[Record]]:
    """State and records of the one run, after a run that has done its work."""
    with ExperimentContext({"lr": 0.1}, seed=3, capture_level=level, monitor_hardware=False) as run:
        run.log_metrics({"loss": 0.5})
        trained = True
    assert trained
    store = open_store("local", store_path, SystemClock())
    found = store.runs()
    records = [entry.record for each in found for entry in store.entries(each.id)]
    return (str(found[0].state) if found else ""), records


def told(records: list[Record]) -> str:
    """All that health, reasons and problems say."""
    return "\n".join(map(repr, records))


@pytest.mark.parametrize(("where", "name"), ENTRIES)
def test_what_raises(
    where: str, name: str, store_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def broken(*_: object, **__: object) -> None:
        raise ValueError("injected")

    replaced(monkeypatch, where, name, broken)
    state, records = outcome(store_path)
    if name == "process_started":  # no journal is without it
        assert "injected" in capsys.readouterr().err
    else:
        assert "injected" in told(records)
        assert state == "COMPLETED"
    if where.endswith(".cells"):  # all else about the code is known
        assert all(record.git for record in records if isinstance(record, CodeCaptured))


@pytest.mark.parametrize("error", [SystemExit, UsageError, NotFoundError])
@pytest.mark.parametrize("name", ["capture_snapshot", "CodeReading.complete"])
def test_what_raises_in_a_thread_of_its_own(
    name: str, error: type[BaseException], store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error("injected")

    where = next(where for where, other in ENTRIES if other == name)
    replaced(monkeypatch, where, name, broken)
    state, records = outcome(store_path)
    assert "injected" in told([each for each in records if isinstance(each, Problem)])
    assert state == "COMPLETED"


def raising() -> None:
    raise RuntimeError("injected")


def hanging() -> None:
    assert _released.wait(60)


@pytest.fixture
def released() -> Iterator[None]:
    """What hangs does so until the test is over."""
    yield
    _released.set()
    for thread in threading.enumerate():
        if "random_states" in thread.name:
            thread.join(60)
    _released.clear()


_released = threading.Event()
BEHAVIOURS: dict[str, tuple[Callable[[], Any], str]] = {
    "raise": (raising, "RuntimeError: injected"),
    "hang": (hanging, "not done in 0.1 s"),
    "nothing": (lambda: None, "it gave a NoneType"),
    "objects": (lambda: {"x": object()}, "TypeError"),
    "too much": (lambda: {"x": "a" * 2_000_000}, "2000008 bytes of at most 1000000"),
}


@pytest.mark.usefixtures("released")
@pytest.mark.parametrize("part", determinism.PARTS)
@pytest.mark.parametrize("kind", BEHAVIOURS)
def test_a_part_of_determinism_that_fails(
    part: str, kind: str, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behaviour, reason = BEHAVIOURS[kind]
    monkeypatch.setitem(sys.modules, "mkl", ModuleType("mkl"))  # whose locks may be waited for
    monkeypatch.setitem(determinism.PARTS, part, behaviour)
    monkeypatch.setattr(determinism, "LIMIT_SECONDS", 0.1 if kind == "hang" else 60.0)
    state, records = outcome(store_path, level=1)
    [seeds] = [each for each in records if isinstance(each, SeedsRecorded)]
    assert state == "COMPLETED"
    assert (seeds.seed, seeds.set_in[0]) == (3, "random")
    assert "PYTHONHASHSEED" in seeds.flags
    by_part = {line.part: line for line in seeds.health}
    assert reason in str(by_part[part].reason)
    if kind != "hang":
        assert set(by_part) == {part}
        assert part == "random_states" or "random" in seeds.states
    problems = open_store("local", store_path, SystemClock()).run("latest").recording.problems
    assert any(reason in problem for problem in problems) or kind == "too much"


def test_what_a_thread_has_for_itself_is_that_of_the_program() -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(before + 3)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            flags = determinism.read_seeds(None, ()).flags
    finally:
        torch.set_num_threads(before)
    assert flags["torch.autocast.cpu"] == "torch.bfloat16"
    assert flags["torch.num_threads"] == before + 3


def fake_git(directory: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.mkdir()
    (directory / "git").write_text(f"#!/bin/sh\n{script}\n")
    (directory / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


GITS = {
    "half an answer": ("printf '# branch.ab +1\\0'", "cannot be read"),
    "noise": ("head -c 3000 /dev/urandom", "cannot be read"),
    "a banner": (r"printf 'hello\n# branch.oid %040d\0# branch.head main\0' 1", "cannot be read"),
    "nothing": ("exit 0", "cannot be read"),
    "failure": ("echo no >&2; exit 3", "git status failed: no"),
    "silence": ("exec sleep 60", "git status took longer than 0.3 seconds"),
}


@pytest.mark.parametrize("kind", GITS)
def test_a_git_that_does_not_do_its_work(
    kind: str, tmp_path: Path, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, reason = GITS[kind]
    commit = git(Path.cwd(), "rev-parse", "HEAD")
    shorter = {**(begin_code.__kwdefaults__ or {}), "limit_seconds": 0.3}
    monkeypatch.setattr(begin_code, "__kwdefaults__", shorter)
    fake_git(tmp_path / "bin", script, monkeypatch)
    state, records = outcome(store_path, level=1)  # else packages that are editable are asked too
    [code] = [each for each in records if isinstance(each, CodeCaptured)]
    assert state == "COMPLETED"
    assert code.git is not None
    assert (code.git.commit, code.git.dirty, code.git.source) == (commit, None, "files")
    assert reason in str(code.reason)


def test_a_system_without_threads(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("instrument-"):
            raise RuntimeError("can't start new thread")
        start(thread)

    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(crew, "_idle", deque())  # nor is one left from the run before
    state, records = outcome(store_path)
    assert "can't start new thread" in told([each for each in records if isinstance(each, Problem)])
    assert state == "COMPLETED"
