"""GPUs through the real nvidia-ml-py."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from capture.stub_gpus import build_stub, needs_stub, run_beside

PROGRAM = """
import json, msgspec
from instrument.capture.snapshot import capture_place, capture_snapshot
snapshot, healths = capture_snapshot({level})
health = next(h for h in healths if h.part == "gpu")
place = capture_place({level})[0].get("gpu_ids")
print(json.dumps([snapshot["gpu"], health.status, health.reason, place]))
"""
CHECK = """
import json
from instrument.capture.validate import ConfigCapture
print(json.dumps(ConfigCapture().validate_environment({arguments})))
"""
DOCTOR = """
import subprocess, sys
told = subprocess.run([sys.executable, "-m", "instrument", "doctor", "--json"], capture_output=True)
print(told.stdout.decode())
"""


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_stub(tmp_path_factory.mktemp("stub"))


@pytest.fixture(autouse=True)
def no_choice_of_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)


@needs_stub
def test_names_at_basic(python: str, stub: Path) -> None:
    found = run_beside(python, stub, PROGRAM.format(level=1))
    names = [{"index": "0", "name": "Stub GPU A"}, {"index": "1", "name": "Stub GPU B"}]
    assert found == [{"devices": names}, "done", None, None]


@needs_stub
def test_devices_at_standard(python: str, stub: Path) -> None:
    gpus, status, _, place = run_beside(python, stub, PROGRAM.format(level=2))
    assert status == "done"
    assert (gpus["driver"], gpus["driver_cuda"]) == ("599.01", "12.4")
    assert gpus["devices"][0] == {
        "index": "0", "name": "Stub GPU A", "memory_total_bytes": 80 * 10**9,
        "compute_capability": "9.0", "mig": None, "ecc": True, "max_sm_clock_mhz": 1980,
        "max_memory_clock_mhz": 2619, "power_limit_watts": 700.0, "vbios": None,
    }  # fmt: skip
    assert gpus["devices"][1]["memory_total_bytes"] == 24 * 10**9
    assert gpus["devices"][1]["ecc"] is None, "this one does not tell"
    assert place["devices"] == [
        {"uuid": f"GPU-0000000{n}-0000", "pci_bus_id": f"00000000:0{n + 1}:00.0"} for n in (0, 1)
    ]


@needs_stub
def test_instances_of_a_divided_gpu(python: str, stub: Path) -> None:
    gpus, _, _, place = run_beside(python, stub, PROGRAM.format(level=2), STUB_MIG="1")
    indexes = [device["index"] for device in gpus["devices"]]
    assert indexes == ["0", "0.mig.0", "0.mig.1", "1"]
    assert gpus["devices"][0]["mig"] is True
    assert [device["uuid"][:3] for device in place["devices"]] == ["GPU", "MIG", "MIG", "GPU"]


@needs_stub
def test_a_gpu_that_is_lost_while_it_is_asked(python: str, stub: Path) -> None:
    gpus, status, _, _ = run_beside(python, stub, PROGRAM.format(level=2), STUB_LOST="1")
    assert status == "done"
    assert gpus["devices"][0]["power_limit_watts"] == 700.0
    assert gpus["devices"][1] == {"index": "1", "reason": "GPU is lost"}


@needs_stub
@pytest.mark.parametrize("question", ["HANDLE", "UUID", "NAME"])
@pytest.mark.parametrize("level", [1, 2])
def test_a_lost_gpu_hides_no_other(python: str, stub: Path, level: int, question: str) -> None:
    lost = {f"STUB_LOST_{question}": "0"}
    gpus, status, _, place = run_beside(python, stub, PROGRAM.format(level=level), **lost)
    assert status == "done"
    by_index = {device["index"]: device for device in gpus["devices"]}
    assert by_index["0"] == {"index": "0", "reason": "GPU is lost"}
    assert by_index["1"]["name"] == "Stub GPU B"
    if level > 1:
        assert "GPU-00000001-0000" in place["visible"]
        check = CHECK.format(arguments="min_gpu_memory_gb=24")
        assert run_beside(python, stub, check, **lost)["is_valid"] is True


@needs_stub
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("9", "Driver Not Loaded"),
        ("4", "Insufficient Permissions"),
        ("18", "RM has detected an NVML/RM version mismatch."),
    ],
)
def test_a_driver_that_does_not_answer(python: str, stub: Path, code: str, reason: str) -> None:
    found = run_beside(python, stub, PROGRAM.format(level=2), STUB_INIT=code)
    assert found == [None, "skipped", f"NVML does not start: {reason}", None]


@needs_stub
def test_a_machine_whose_gpus_are_all_gone(python: str, stub: Path) -> None:
    found = run_beside(python, stub, PROGRAM.format(level=1), STUB_GPUS="0")
    assert found == [{"devices": []}, "done", None, None]


@needs_stub
@pytest.mark.parametrize(
    ("visible", "numbers"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("2,0", [2, 0]),
        ("1,7,0", [1]),
        ("0,-1,1", [0]),
        ("GPU-00000002-0000", [2]),
        ("GPU-00000001", [1]),
        ("GPU-0000000", []),
        ("GPU-99", []),
    ],
)
def test_visible_gpus_by_uuid(
    python: str, stub: Path, visible: str | None, numbers: list[int]
) -> None:
    settings = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    found = run_beside(
        python, stub, PROGRAM.format(level=2), STUB_GPUS="3", STUB_UNLIKE="0", **settings
    )
    assert found[3]["visible"] == [f"GPU-{number:08d}-0000" for number in numbers]
    assert found[3]["reasons"] == {}


@needs_stub
def test_a_visible_mig_instance(python: str, stub: Path) -> None:
    settings = {"STUB_MIG": "1", "CUDA_VISIBLE_DEVICES": "MIG-00000001-0000"}
    found = run_beside(python, stub, PROGRAM.format(level=2), **settings)
    assert found[3]["visible"] == ["MIG-00000001-0000"]


@needs_stub
def test_of_unlike_gpus_an_index_tells_nothing_by_itself(python: str, stub: Path) -> None:
    program = PROGRAM.format(level=2)
    found = run_beside(python, stub, program, CUDA_VISIBLE_DEVICES="1")
    assert found[3]["visible"] is None
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in found[3]["reasons"]["visible"]
    settings = {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    found = run_beside(python, stub, program, **settings)
    assert found[3]["visible"] == ["GPU-00000001-0000"]


@needs_stub
@pytest.mark.parametrize(
    ("arguments", "settings", "valid"),
    [
        ("min_gpu_memory_gb=80", {}, True),
        ("min_gpu_memory_gb=81", {}, False),
        ("min_gpu_memory_gb=80", {"CUDA_VISIBLE_DEVICES": "GPU-00000001-0000"}, False),
        ("min_gpu_memory_gb=24", {"CUDA_VISIBLE_DEVICES": "GPU-00000001-0000"}, True),
        ("min_gpu_memory_gb=0", {"CUDA_VISIBLE_DEVICES": ""}, False),
        ("min_gpu_memory_gb=80", {"STUB_MIG": "1"}, False),
        ("min_gpu_memory_gb=1", {"STUB_LOST": "1"}, True),
    ],
)
def test_memory_of_the_gpus_that_may_be_used(
    python: str, stub: Path, arguments: str, settings: dict[str, str], valid: bool
) -> None:
    check = CHECK.format(arguments=arguments)
    found: dict[str, Any] = run_beside(python, stub, check, **settings)
    assert found["is_valid"] is valid
    assert bool(found["errors"]) is not valid


@needs_stub
@pytest.mark.parametrize(
    ("version", "valid"), [("9.2", True), ("12.4.0", True), ("12.5", False), ("13", False)]
)
def test_cuda_of_the_driver(
    python: str, stub: Path, version: str, valid: bool, tmp_path: Path
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "version.py").write_text("cuda: Optional[str] = None\n")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})"
    program += CHECK.format(arguments=f"min_cuda_version={version!r}")
    found: dict[str, Any] = run_beside(python, stub, program)
    assert found["is_valid"] is valid
    assert found["warnings"] == ["the installed torch was built without CUDA"]
    (tmp_path / "torch" / "version.py").write_text("cuda: Optional[str] = '12.8'\n")
    found = run_beside(python, stub, program)
    assert found["is_valid"] is (version != "13"), "what torch was built with comes first"


@pytest.mark.gpu
@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="needs an NVIDIA GPU")
def test_what_nvml_says_is_what_nvidia_smi_and_torch_say(python: str) -> None:
    query = "uuid,name,memory.total,power.limit,clocks.max.sm,pci.bus_id,ecc.mode.current"
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    gpus, _, _, place = run_beside(python, None, PROGRAM.format(level=2))
    whole = [
        (d, i)
        for d, i in zip(gpus["devices"], place["devices"], strict=True)
        if "." not in d["index"]
    ]
    for line, (device, ids) in zip(told.splitlines(), whole, strict=True):
        uuid, name, memory, power, clock, bus, ecc = (each.strip() for each in line.split(","))
        assert (ids["uuid"], device["name"], ids["pci_bus_id"]) == (uuid, name, bus)
        assert device["memory_total_bytes"] >> 20 == int(memory)
        assert device["power_limit_watts"] == pytest.approx(float(power))
        assert device["max_sm_clock_mhz"] == int(clock)
        assert device["ecc"] is (ecc == "Enabled")
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available() and place["visible"] is not None:
        found = [
            f"GPU-{torch.cuda.get_device_properties(n).uuid}"
            for n in range(torch.cuda.device_count())
        ]
        assert found == place["visible"]


@needs_stub
@pytest.mark.parametrize(
    ("lost", "status", "detail"),
    [
        ({}, "ok", "Stub GPU A, Stub GPU B"),
        ({"STUB_LOST_HANDLE": "1"}, "warning", "Stub GPU A, 1: GPU is lost"),
    ],
    ids=["all there", "one lost"],
)
def test_doctor_tells_which_gpu_cannot_be_asked(
    python: str, stub: Path, lost: dict[str, str], status: str, detail: str
) -> None:
    told = run_beside(python, stub, DOCTOR, **lost)
    (found,) = (one for one in told["checks"] if one["name"] == "gpu")
    assert (found["status"], found["detail"]) == (status, detail)
