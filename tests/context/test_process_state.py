"""What a run changes in its process comes back; SIGTERM closes a run before it does its work."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from instrument import ExperimentContext
from instrument.clock import SystemClock
from instrument.registry import open_store
from instrument.vocabulary import RunState

WAITING = """
import signal, sys, time
from instrument import ExperimentContext
{before}
with ExperimentContext(capture_level=1) as run:
    run.log_metrics({{"loss": 0.5}}, step=0)
    print("ready", flush=True)
    while True:
        time.sleep(0.01)
"""
OWN_HANDLER = """
def mine(number, frame):
    print("mine", flush=True)
    sys.exit(3)
signal.signal(signal.SIGTERM, mine)
"""


def test_the_environment_offers_the_run_to_children_and_comes_back() -> None:
    before = dict(os.environ)
    with ExperimentContext(capture_level=1) as outer:
        assert os.environ["INSTRUMENT_HANDOVER"].startswith(f"{outer.id}:1:{os.getpid()}:")
        with ExperimentContext(capture_level=1) as inner:
            assert os.environ["INSTRUMENT_HANDOVER"].startswith(inner.id)
        assert os.environ["INSTRUMENT_HANDOVER"].startswith(outer.id)
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("before", "exit_code", "said"),
    [("", -signal.SIGTERM, ""), (OWN_HANDLER, 3, "mine\n")],
    ids=["no handler", "the user's handler"],
)
def test_sigterm_closes_the_run_in_order(
    store_path: Path, before: str, exit_code: int, said: str
) -> None:
    script = WAITING.format(before=before)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.terminate()
        rest, _ = child.communicate(timeout=60)
    assert (child.returncode, rest) == (exit_code, said)
    run = open_store("local", store_path, SystemClock()).run("latest")
    assert run.state is RunState.INTERRUPTED
    assert run.metrics == {"loss": 0.5}
    assert run.recording.problems == []
    assert run.telemetry["readings"]
