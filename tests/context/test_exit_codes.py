"""A run that only the end of its process closes knows with what `sys.exit` ended it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from instrument import ExperimentContext, autolog
from instrument.clock import SystemClock
from instrument.errors import UsageError
from instrument.registry import open_store
from instrument.vocabulary import RunState

OPENINGS = {
    "autolog": "instrument.autolog(name='r', capture_level=1)",
    "start": "instrument.ExperimentContext(name='r', capture_level=1).start()",
}
CAUGHT = "try:\n    sys.exit(5)\nexcept SystemExit:\n    pass"
KEPT = "try:\n    sys.exit(5)\nexcept SystemExit as error:\n    kept = error"
IN_THREAD = "t = threading.Thread(target=sys.exit, args=(5,)); t.start(); t.join()"


@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS)
@pytest.mark.parametrize(
    ("end", "exit_code", "state", "message"),
    [
        ("sys.exit(3)", 3, RunState.FAILED, "3"),
        ("sys.exit('no data')", 1, RunState.FAILED, "no data"),
        ("sys.exit((lambda: 4)())", 4, RunState.FAILED, "4"),
        ("import argparse; argparse.ArgumentParser().error('what?')", 2, RunState.FAILED, "2"),
        ("sys.exit(0)", 0, RunState.COMPLETED, None),
        ("sys.exit()", 0, RunState.COMPLETED, None),
        (CAUGHT, 0, RunState.COMPLETED, None),
        (KEPT, 0, RunState.COMPLETED, None),
        (IN_THREAD, 0, RunState.COMPLETED, None),
        (f"{CAUGHT}\nsys.exit(6)", 6, RunState.FAILED, "6"),
    ],
    ids=["code", "text", "main", "argparse", "zero", "none", "caught", "kept", "thread", "second"],
)
def test_the_code_of_sys_exit_tells_what_became_of_the_run(
    opening: str, end: str, exit_code: int, state: RunState, message: str | None, store_path: Path
) -> None:
    script = f"import instrument, sys, threading\n{opening}\n{end}\n"
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == exit_code
    (run,) = open_store("local", store_path, SystemClock()).runs()
    assert run.state is state
    assert (run.exception or {}).get("message") == message


ENDS = {
    "interrupted": ("", -signal.SIGINT),
    "caught": ("signal.signal(signal.SIGINT, lambda *_: sys.exit(7))", 7),
    "text at the end": ("atexit.register(exec, '1')", -signal.SIGINT),
}


@pytest.mark.parametrize(("before", "exit_code"), ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS)
def test_a_process_that_ctrl_c_ends_ends_by_sigint(
    opening: str, before: str, exit_code: int, store_path: Path
) -> None:
    script = f"import atexit, instrument, os, signal, sys\n{opening}\n{before}\n"
    script += "os.kill(os.getpid(), signal.SIGINT)\nsignal.pause()\n"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert ended.returncode == exit_code
    (run,) = open_store("local", store_path, SystemClock()).runs()
    assert run.state is (RunState.FAILED if exit_code == 7 else RunState.INTERRUPTED)


def test_an_interactive_session_that_was_interrupted_before_ends_well(store_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-i"],
        input=f"import instrument\n{OPENINGS['autolog']}\nraise KeyboardInterrupt\n1\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "KeyboardInterrupt" in ended.stderr
    assert ended.returncode == 0
    assert store_path.exists()


def test_sys_exit_is_replaced_only_while_such_a_run_is_open() -> None:
    before = sys.exit
    with ExperimentContext(capture_level=1):
        assert sys.exit is before
        run = ExperimentContext(capture_level=1).start()
        assert (sys.exit is before, sys.exit.__name__) == (False, "exit")
        with pytest.raises(SystemExit) as raised:
            sys.exit("text")
        assert (type(raised.value), raised.value.code) == (SystemExit, "text")
        run.finish()
    assert sys.exit is before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 2**40}, "seed=1099511627776 cannot be set; use an integer from 0 to 4294967295"),
        ({"trace": [len]}, "trace"),
        ({"trace": ["no function"]}, "names no function"),
    ],
    ids=["seed", "a function", "no name"],
)
def test_what_cannot_be_meant_leaves_no_run(
    options: dict[str, object], message: str, store_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        autolog(**options)  # type: ignore[arg-type] # as a user might
    assert open_store("local", store_path, SystemClock()).runs() == []
