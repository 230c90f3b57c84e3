"""What is odd around a process, or fails in finding out about it, stops no run: it is told."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from instrument import ExperimentContext, current_run, handover
from instrument.capture import launch
from instrument.clock import SystemClock
from instrument.errors import UsageError
from instrument.registry import open_store
from instrument.summary import RunSummary
from instrument.vocabulary import RunState

QUIET: dict[str, Any] = {"capture_level": 1, "monitor_hardware": False}
BESIDE = "find out which run this is"
HANDED = "hand the run to child processes"
LOWEST = {
    "instrument.identity.launch": BESIDE,
    "instrument.identity.restarted_job": BESIDE,
    "instrument.identity.look": BESIDE,
    "instrument.handover.process_start": HANDED,
    "instrument.handover._OwnBoard._show": HANDED,
    "instrument.identity.launches.unusable": "tell what is odd around this process",
    "instrument.intercept.install": "watch calls and loads",
    "instrument.console.install": "listen to what is printed",
    "instrument.signals.signal.getsignal": "close the run on a signal",
    "instrument.background.begin_code": "read the state of the code",
}
ODD = {
    "RANK": "\u00b2", "WORLD_SIZE": "\u00b3",
    "OMPI_COMM_WORLD_RANK": "abc", "OMPI_COMM_WORLD_SIZE": "2",
    "PMI_RANK": "3", "PMI_SIZE": "2",
    "MV2_COMM_WORLD_RANK": "-1", "MV2_COMM_WORLD_SIZE": "4",
    "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "9" * 30, "SLURM_RESTART_COUNT": "1e3",
    "TORCHELASTIC_RESTART_COUNT": "9" * 5000,
    "INSTRUMENT_HANDOVER": "run-1:\u00b2:1:adopt:",
}  # fmt: skip
EMPTY = dict.fromkeys([*ODD, "LOCAL_WORLD_SIZE", "SLURM_JOB_ID", "MASTER_ADDR"], "")


def recorded(store_path: Path) -> RunSummary:
    return open_store("local", store_path, SystemClock()).run("latest")


def failing(*_: object, **__: object) -> None:
    raise RuntimeError("nobody thought of this")


@pytest.mark.parametrize(("lowest", "doing"), LOWEST.items())
def test_what_fails_at_the_start_is_recorded_and_the_run_goes_on(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, lowest: str, doing: str
) -> None:
    monkeypatch.setattr("instrument.handover._own", handover._OwnBoard())  # not yet put up
    context = ExperimentContext(name="goes on", **QUIET)
    with monkeypatch.context() as broken:
        broken.setattr(lowest, failing)
        context.start()
    context.log_metrics({"loss": 0.5})
    context.finish()
    run = recorded(store_path)
    assert (run.state, run.name, run.metrics) == (RunState.COMPLETED, "goes on", {"loss": 0.5})
    assert run.recording.problems[0] == f"could not {doing}: RuntimeError: nobody thought of this"


def test_a_strict_run_raises_it_before_it_begins(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instrument.identity.launch", failing)
    with pytest.raises(RuntimeError, match="nobody thought"):
        ExperimentContext(strict=True, **QUIET).start()
    assert current_run() is None
    assert not open_store("local", store_path, SystemClock()).runs()


def test_a_worker_that_cannot_find_its_run_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("instrument.handover._from_environment", failing)
    assert current_run() is None
    assert "could not look for the run of the parent process: nobody" in capsys.readouterr().err


def test_odd_variables_of_all_launchers_stop_no_program(store_path: Path) -> None:
    program = "import instrument\nwith instrument.ExperimentContext(capture_level=1): print('body')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **ODD},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "body\n"), done.stderr
    run = recorded(store_path)
    assert (run.state, run.attempts) == (RunState.COMPLETED, 1)
    (told,) = run.recording.problems
    assert told.startswith("could not read the environment: ValueError: taken for not set")
    assert [name for name in ODD if f"{name}='" not in told] == []
    assert "instrument: taken for not set" in done.stderr


@pytest.mark.parametrize("variables", [EMPTY, {"RANK": "gold", "SLURM_PROCID": "0"}])
def test_variables_that_are_empty_or_belong_to_the_user_are_no_problem(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with ExperimentContext(strict=True, **QUIET):
        pass
    assert recorded(store_path).recording.problems == []


@pytest.mark.parametrize(
    "text",
    ["../../x:1:1:join:", ":1:1:join:", "run-1:1:1", "run-1:1:1:lend:", "run-1:1:\u0661:join:",
     f"run-1:1:{'9' * 5000}:join:", f"run-1:{'9' * 99}:1:join:", "run-1\udc80:1:1:adopt:"],
)  # fmt: skip
def test_a_hand_over_that_nobody_wrote_is_none(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("INSTRUMENT_HANDOVER", text)
    assert current_run() is None
    with ExperimentContext(strict=True, **QUIET):
        assert handover.unusable() == []  # its own
    assert handover.unusable()
    (told,) = recorded(store_path).recording.problems
    assert "INSTRUMENT_HANDOVER='" in told


@pytest.mark.parametrize("board", ["/proc/self/exe", "/nowhere/\u00b2-3", f"/nowhere/{'9' * 99}-3"])
def test_a_board_that_is_none_is_as_one_of_another_host(
    monkeypatch: pytest.MonkeyPatch, board: str
) -> None:
    monkeypatch.setenv("INSTRUMENT_HANDOVER", f"run-1:1:1:join:{board}")
    handed = handover.received()
    assert handed is not None
    assert (handed.run_id, handed.stands()) == ("run-1", True)


@pytest.mark.parametrize("value", [5, b"x", ""])
def test_a_program_may_call_its_file_what_it_likes(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__file__", value, raising=False)
    with ExperimentContext(**QUIET):
        pass
    assert recorded(store_path).name == "interactive"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_directory_above_that_may_not_be_read_stops_no_run(tmp_path: Path) -> None:
    """A process that gives up its powers, below a directory that is closed to it then."""
    here, store = tmp_path / "closed/here", tmp_path / "open"
    here.mkdir(parents=True)
    store.mkdir()
    program = (
        "import os, instrument\n"
        "with instrument.ExperimentContext(capture_level=1, monitor_hardware=False): pass\n"
        "os.setgid(12345); os.setuid(12345); os.environ['HOME'] = '/'\n"
        f"with instrument.ExperimentContext(monitor_hardware=False, store={str(store)!r}):\n"
        "    print('body')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=here, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "body\n"), done.stderr


@pytest.mark.parametrize("text", ["instrument = 5\n", "x = 1\n[[tool.instrument]]\n"])
def test_settings_that_are_no_table_are_the_users_mistake(text: str) -> None:
    Path("pyproject.toml").write_text(f"[tool]\n{text}# tool.instrument\n")
    with pytest.raises(UsageError, match="does not parse"):
        ExperimentContext()


def test_what_launchers_say_rightly_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    for names, value in zip(zip(*launch._RANKS, strict=True), ("1", "2", "2"), strict=True):
        for name in names:
            monkeypatch.setenv(name, value)
    assert launch.unusable() == []
