"""Every call to the store fails, once and for ever, or is the last: what users see, what is left.

The user's program goes on untouched, what was acknowledged is there or is told as lost, the store
verifies, nothing is written elsewhere, and the same operation works as soon as nothing fails.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from faults import injection
from faults.operations import OPERATIONS

# In the bounded form one of so many faults is tried (a prime: each kind and error has its turn).
EVERY = 991


def try_faults(place: Path, operation: str, every: int) -> dict[str, Any]:
    reason = injection.missing()
    if reason is not None:
        pytest.skip(f"SKIPPED LOUDLY: no system call can be made to fail here: {reason}")
    place.mkdir()
    command = [sys.executable, "-m", "faults.laboratory", str(place), operation, str(every)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    report: dict[str, Any] = json.loads(result.stdout)
    print(f"\n{operation}: {report['trials']} faults injected, {report['hits']} hit")
    assert report["failures"] == []
    return report


@pytest.mark.faults
@pytest.mark.parametrize("operation", OPERATIONS)
def test_some_calls_fail(tmp_path: Path, operation: str) -> None:
    report = try_faults(tmp_path / "laboratory", operation, EVERY)
    assert report["hits"] >= 1


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_call_fails(tmp_path: Path, operation: str) -> None:
    report = try_faults(tmp_path / "laboratory", operation, 1)
    # Threads take turns: now and then a call that was counted is not made again.
    assert report["hits"] >= 0.9 * report["trials"] > 50
