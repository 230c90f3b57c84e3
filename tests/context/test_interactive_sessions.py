"""An interpreter that goes on after an error: which run did the error end?"""

import subprocess
from pathlib import Path

import pytest

from instrument.clock import SystemClock
from instrument.registry import open_store
from instrument.summary import RunSummary

OPEN = "import instrument; run = instrument.ExperimentContext(monitor_hardware=False).start()\n"


def ended(python: str, lines: str, store: Path) -> RunSummary:
    """The run that is open when the session which typed `lines` ends."""
    command = [python, "-i", "-q"]
    subprocess.run(command, input=lines, text=True, capture_output=True, check=False)
    (run,) = open_store("local", store, SystemClock()).runs()
    return run


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        (f"1/0\n{OPEN}run.log_metrics({{'loss': 1}})\n", "COMPLETED"),
        (f"{OPEN}1/0\nrun.log_metrics({{'loss': 1}})\n", "FAILED"),
        (f"1/0\n{OPEN}1/0\n", "FAILED"),
    ],
    ids=["before the run", "in the run", "before and in it"],
)
def test_an_error_counts_for_the_run_that_was_open(
    lines: str, state: str, python: str, store_path: Path
) -> None:
    run = ended(python, lines, store_path)
    assert run.state == state
    assert (run.exception is None) == (state == "COMPLETED")
