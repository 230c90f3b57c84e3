"""GPUs through the real nvidia-ml-py."""

from pathlib import Path
from typing import Any

import pytest
from capture.stub_gpus import build_stub, needs_stub, run_beside

PROGRAM = """
import json, msgspec
from instrument.capture.snapshot import capture_snapshot
snapshot, healths = capture_snapshot({level})
health = next(h for h in healths if h.part == "gpu")
print(json.dumps([snapshot["gpu"], health.status, health.reason]))
"""
CHECK = """
import json
from instrument.capture.validate import ConfigCapture
print(json.dumps(ConfigCapture().validate_environment({arguments})))
"""


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_stub(tmp_path_factory.mktemp("stub"))


@needs_stub
def test_names_at_basic(python: str, stub: Path) -> None:
    found = run_beside(python, stub, PROGRAM.format(level=1))
    assert found == [["Stub GPU A", "Stub GPU B"], "done", None]


@needs_stub
def test_devices_at_standard(python: str, stub: Path) -> None:
    gpus, status, _ = run_beside(python, stub, PROGRAM.format(level=2))
    assert status == "done"
    assert (gpus["driver"], gpus["driver_cuda"]) == ("599.01", "12.4")
    assert [device["memory_total_bytes"] for device in gpus["devices"]] == [80 * 10**9, 24 * 10**9]
    assert gpus["devices"][0]["compute_capability"] == "9.0"
    assert gpus["devices"][0]["mig"] is None  # the stub does not know that question


@needs_stub
def test_a_driver_that_is_not_loaded(python: str, stub: Path) -> None:
    gpus, status, reason = run_beside(python, stub, PROGRAM.format(level=2), STUB_INIT="9")
    assert (gpus, status) == (None, "skipped")
    assert reason == "NVML does not start: Driver Not Loaded"


@needs_stub
def test_a_machine_whose_gpus_are_all_gone(python: str, stub: Path) -> None:
    found = run_beside(python, stub, PROGRAM.format(level=1), STUB_GPUS="0")
    assert found == [[], "done", None]


@needs_stub
@pytest.mark.parametrize(
    ("arguments", "valid"),
    [
        ("min_gpu_memory_gb=80", True),
        ("min_gpu_memory_gb=81", False),
        ("min_cuda_version='9.2'", True),
        ("min_cuda_version='12.4.0'", True),
        ("min_cuda_version='12.5'", False),
        ("min_cuda_version='13'", False),
    ],
)
def test_requirements(python: str, stub: Path, arguments: str, valid: bool) -> None:
    found: dict[str, Any] = run_beside(python, stub, CHECK.format(arguments=arguments))
    assert found["is_valid"] is valid
    assert bool(found["errors"]) is not valid
