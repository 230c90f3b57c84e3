"""Functions that are recorded by their names, and runs that `autolog` opens."""

import importlib
import json
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instrument import ExperimentContext
from instrument.errors import UsageError
from instrument.intercept import tracing
from instrument.records import CallFinished, CallStarted

MODULE = """
    import functools

    def train(lr, n=3):
        "Trains."
        return helper(lr) * n

    def helper(value):
        return value

    def fails():
        raise ValueError("boom")

    def steps(count):
        yield from range(count)
        return "end"

    async def later(value):
        return value

    class Model:
        def fit(self, data, *, epochs=1):
            return self

        @classmethod
        def make(cls, size):
            return cls()

        @staticmethod
        def score(value):
            return value
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of the user's, not imported yet, in a package that has its names too."""
    package = tmp_path / "traced_package"
    package.mkdir()
    (package / "__init__.py").write_text("from traced_package.code import train\n")
    (package / "code.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.syspath_prepend(tmp_path)
    yield "traced_package.code"
    for name in ("traced_package", "traced_package.code"):
        sys.modules.pop(name, None)
        tracing._names.pop(name, None)  # what is traced stays so for the process


def trace(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setenv("INSTRUMENT_TRACE", ",".join(names))


def run_of(**options: Any) -> ExperimentContext:
    return ExperimentContext(monitor_hardware=False, capture_level=1, **options)


def calls_in(run: ExperimentContext) -> list[tuple[str, dict[str, Any], str]]:
    assert run.store is not None
    records = [entry.record for entry in run.store.entries(run.id)]
    outcomes = {r.call_id: r.outcome for r in records if isinstance(r, CallFinished)}
    return [
        (r.function.rpartition(":")[2], r.arguments, outcomes[r.call_id])
        for r in records
        if isinstance(r, CallStarted)
    ]


def test_every_kind_of_function(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    trace(
        monkeypatch,
        f"{module}.train",
        *(f"{module}:{name}" for name in ("steps", "later", "fails")),
        *(f"{module}:Model.{name}" for name in ("fit", "make", "score")),
    )
    with run_of() as run:
        package = importlib.import_module("traced_package")
        code = importlib.import_module(module)
        assert package.train(0.5) == 1.5
        assert list(code.steps(2)) == [0, 1]
        assert asyncio.run(code.later(7)) == 7
        model = code.Model.make(3)
        assert model.fit([1], epochs=2) is model
        assert code.Model.score(4) == 4
        with pytest.raises(ValueError, match="boom"):
            code.fails()
        assert pickle.loads(pickle.dumps(code.train)) is code.train  # noqa: S301 - our own
        assert (code.train.__name__, code.train.__doc__) == ("train", "Trains.")
    assert calls_in(run) == [
        ("train", {"lr": 0.5, "n": 3}, "returned"),
        ("steps", {"count": 2}, "returned"),
        ("later", {"value": 7}, "returned"),
        ("Model.make", {"size": 3}, "returned"),
        ("Model.fit", {"data": [1], "epochs": 2}, "returned"),
        ("Model.score", {"value": 4}, "returned"),
        ("fails", {}, "raised"),
    ]


def test_only_while_a_run_is_open(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trace(monkeypatch, f"{module}.train")
    code = importlib.import_module(module)
    original = code.train
    bound = importlib.import_module("traced_package")
    with run_of() as run:
        assert bound.train is original
        bound.train(1)
    assert code.train is bound.train is original
    assert len(calls_in(run)) == 1


def test_what_is_not_there_is_said(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trace(monkeypatch, f"{module}.tarin", "nowhere.at_all")
    with run_of() as run:
        importlib.import_module(module)
    assert run.store is not None
    recording = run.store.run(run.id).recording
    assert any("tarin cannot be wrapped" in line for line in recording.problems)
    assert any("no call of at_all" in line for line in recording.notes)


@pytest.mark.parametrize("name", ["train", "a b.c", "pkg:A.b.c", "", "pkg:"])
def test_a_name_that_names_no_function(name: str) -> None:
    with pytest.raises(UsageError, match="names no function"):
        tracing.trace_functions([name])


def test_in_the_project_file(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.instrument]\ntrace = ["{module}:train", "{module}:Model.fit"]\n'
    )
    monkeypatch.chdir(tmp_path)
    with run_of() as run:
        importlib.import_module(module).train(2)
    assert calls_in(run) == [("train", {"lr": 2, "n": 3}, "returned")]


def instrument(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "instrument", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def script_in(tmp_path: Path, text: str) -> Path:
    (tmp_path / "own_code.py").write_text(textwrap.dedent(MODULE))
    path = tmp_path / "main.py"
    path.write_text(textwrap.dedent(text))
    return path


def latest() -> dict[str, Any]:
    run: dict[str, Any] = json.loads(instrument("runs", "show", "latest", "--json").stdout)
    return run


def test_by_the_command_without_a_change(tmp_path: Path) -> None:
    path = script_in(tmp_path, "from own_code import train\nprint(train(0.1, n=2))")
    done = instrument("run", "--trace", "own_code:train", "--", sys.executable, path)
    assert (done.stdout.strip(), done.returncode) == ("0.2", 0)
    assert latest()["function"] == "own_code:train"
    assert latest()["recording"]["problems"] == []


def test_a_name_in_the_script_is_refused_by_the_command(tmp_path: Path) -> None:
    done = instrument("run", "--trace", "__main__:train", "--", "true")
    assert done.returncode == 2
    assert "autolog" in done.stderr


def test_autolog_opens_a_run_and_closes_it(tmp_path: Path) -> None:
    path = script_in(
        tmp_path,
        """
        import instrument
        def evaluate(value): return value
        run = instrument.autolog(
            name="auto", monitor_hardware=False, trace=["__main__:evaluate", "own_code.train"]
        )
        assert instrument.autolog() is run
        import own_code
        own_code.train(1)
        evaluate(2)
        instrument.log_metrics({"loss": 1})
        """,
    )
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = latest()
    assert (run["name"], run["state"], run["metrics"]) == ("auto", "COMPLETED", {"loss": 1.0})
    assert run["recording"]["complete"]
    journal = "".join(p.read_text() for p in Path(run_store()).rglob("*.jsonl"))
    assert journal.count('"call_started"') == 2


def run_store() -> str:
    import os

    return os.environ["INSTRUMENT_STORE"]


def test_autolog_sees_the_exception_that_ended_the_program(tmp_path: Path) -> None:
    path = script_in(
        tmp_path, "import instrument\ninstrument.autolog(monitor_hardware=False)\n1 / 0"
    )
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    run = latest()
    assert run["state"] == "FAILED"
    assert run["exception"]["type"] == "builtins.ZeroDivisionError"


def test_autolog_under_the_command_is_its_run(tmp_path: Path) -> None:
    path = script_in(tmp_path, "import instrument\ninstrument.autolog(name='inner')")
    assert instrument("run", "--", sys.executable, path).returncode == 0
    assert latest()["name"] == "inner"
    assert len(json.loads(instrument("runs", "list", "--json").stdout)) == 1


def test_a_spawned_worker_does_not_open_a_run_of_its_own(tmp_path: Path) -> None:
    path = script_in(
        tmp_path,
        """
        import multiprocessing, instrument
        instrument.autolog(name="one", monitor_hardware=False)
        def work(value): return value
        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                assert pool.map(work, [1]) == [1]
                pool.close(); pool.join()
        """,
    )
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(instrument("runs", "list", "--json").stdout)) == 1
