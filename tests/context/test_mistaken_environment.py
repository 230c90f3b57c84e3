"""Mistakes in the environment: a variable that nothing reads, a backend that nobody knows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import instrument
from instrument import ExperimentContext, current_run, settings
from instrument.clock import SystemClock
from instrument.errors import MissingDependencyError, NotFoundError
from instrument.registry import open_store
from instrument.vocabulary import RunState

TWO_RUNS_AND_A_CHILD = """
import subprocess, sys
from instrument import ExperimentContext
for _ in range(2):
    with ExperimentContext(capture_level=1, monitor_hardware=False):
        pass
child = "import instrument; instrument.ExperimentContext(monitor_hardware=False).start().finish()"
with ExperimentContext(capture_level=1, monitor_hardware=False):
    subprocess.run([sys.executable, "-c", child], check=True)
"""


def test_a_variable_that_nothing_reads_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTRUMENT_STOER", "/data")
    monkeypatch.setenv("INSTRUMENT_XYZZY", "1")
    done = subprocess.run(
        [sys.executable, "-c", TWO_RUNS_AND_A_CHILD], capture_output=True, text=True, check=True
    )
    assert done.stderr == (
        "instrument: nothing reads INSTRUMENT_STOER (did you mean INSTRUMENT_STORE?), "
        "INSTRUMENT_XYZZY: there is no such setting\n"
    )


def test_no_variable_of_ours_is_taken_for_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(instrument.__file__).parent
    sources = "".join(path.read_text(encoding="utf-8") for path in root.rglob("*.py"))
    ours = set(re.findall(r"\bINSTRUMENT_[A-Z0-9_]*[A-Z0-9]", sources))
    assert {"INSTRUMENT_STORE", "INSTRUMENT_HANDOVER", "INSTRUMENT_LEDGER_PASSPHRASE"} <= ours
    for name in ours:
        monkeypatch.setenv(name, "1")
    assert settings.unread_variables() is None


def test_many_mistakes_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(7):
        monkeypatch.setenv(f"INSTRUMENT_{number}", "")
    said = settings.unread_variables()
    assert said is not None
    assert said.startswith("nothing reads INSTRUMENT_0, INSTRUMENT_1, ")
    assert said.endswith("INSTRUMENT_4 and 2 more: there is no such setting")


def test_an_unknown_backend_is_told_at_the_start(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSTRUMENT_BACKENDS", "local,wnadb")
    with pytest.raises(NotFoundError, match="'wnadb' is unknown; known are local, wandb"):
        ExperimentContext().start()
    assert current_run() is None
    assert not store_path.exists()


def test_a_library_that_is_missing_here_stops_no_run(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment is that of many programs; `backend=` speaks of this one."""

    def start_follower(*_: object, **__: object) -> None:
        raise RuntimeError("no wandb here")

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("instrument.mirroring.start_follower", start_follower)
    with pytest.raises(MissingDependencyError):
        ExperimentContext(backend="wandb")
    monkeypatch.setenv("INSTRUMENT_BACKENDS", "local,wandb")
    with ExperimentContext(capture_level=1, monitor_hardware=False):
        pass
    run = open_store("local", store_path, SystemClock()).run("latest")
    assert run.state is RunState.COMPLETED
    assert run.recording.problems == [
        "could not start the wandb mirror: RuntimeError: no wandb here"
    ]


def test_a_name_in_the_file_that_nothing_reads_is_told_once() -> None:
    Path("pyproject.toml").write_text(
        "[tool.instrument]\nmod = 'offline'\ncapture_levle = 3\nproject = 'digits'\n"
        "[[tool.instrument.retention]]\nkeep = ['last=5']\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", TWO_RUNS_AND_A_CHILD], capture_output=True, text=True, check=True
    )
    assert done.stderr == (
        "instrument: nothing reads capture_levle (did you mean capture_level?), "
        "mod (did you mean mode?) in [tool.instrument] of "
        f"{Path.cwd() / 'pyproject.toml'}: there is no such setting\n"
    )
