"""NVIDIA's GPUs through the real nvidia-ml-py over a stub library; and a real one, where it is."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from capture.stub_gpus import build_stub, needs_stub, run_beside

from instrument.nvml import Device, usable

GPU = """
import json
from instrument.telemetry.gpus import gpu_probes
from instrument.telemetry.probes import ProbeUnavailable
notes = []
try:
    probes = gpu_probes(lambda: (), notes.append)
    for seconds in (0.0, 2.0):
        answers = {name: probe.read(seconds) for name, probe in probes.items()}
    for probe in probes.values():
        probe.close()
except ProbeUnavailable as reason:
    answers = ["unavailable", str(reason)]
print(json.dumps([answers, notes]))
"""


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_stub(tmp_path_factory.mktemp("stub"))


@needs_stub
def test_two_gpus_and_what_one_of_them_does_not_tell(python: str, stub: Path) -> None:
    answers, notes = run_beside(python, stub, GPU)
    assert answers["gpu.0"] == {
        "gpu.0.utilization_percent": 40, "gpu.0.memory_utilization_percent": 5,
        "gpu.0.memory_used_bytes": 10**9, "gpu.0.power_watts": 250.5,
        "gpu.0.temperature_celsius": 60, "gpu.0.sm_clock_mhz": 1980,
        "gpu.0.memory_clock_mhz": 2619, "gpu.0.throttled_by_power_percent": 100,
        "gpu.0.throttled_by_heat_percent": 0, "gpu.0.ecc_corrected_count": 3,
        "gpu.0.ecc_uncorrected_count": 0, "gpu.0.process_memory_bytes": 700_000_000,
        "gpu.0.energy_joules": 500.0, "gpu.0.pcie_sent_bytes_per_second": 500_000.0,
        "gpu.0.pcie_received_bytes_per_second": 1_000_000.0,
        "gpu.0.nvlink_sent_bytes_per_second": 2 << 20,
    }  # fmt: skip
    assert answers["gpu.1"] == {
        "gpu.1.utilization_percent": 41, "gpu.1.memory_utilization_percent": 5,
        "gpu.1.memory_used_bytes": 2 * 10**9, "gpu.1.temperature_celsius": 61,
        "gpu.1.sm_clock_mhz": 1980, "gpu.1.memory_clock_mhz": 2619,
        "gpu.1.throttled_by_power_percent": 0, "gpu.1.throttled_by_heat_percent": 100,
    }  # fmt: skip
    assert notes == []


THROTTLING = """
import json, os
from instrument.telemetry.gpus import gpu_probes
[probe] = gpu_probes(lambda: (), print).values()
def percent(bits, what):
    os.environ["STUB_REASONS"] = str(bits)
    return probe.read(0.0)[f"gpu.0.throttled_by_{what}_percent"]
print(json.dumps([[percent(1 << n, "power"), percent(1 << n, "heat")] for n in range(9)]))
"""
NEITHER, POWER, HEAT = [0, 0], [100, 0], [0, 100]


@needs_stub
def test_each_reason_that_slows_a_gpu_down(python: str, stub: Path) -> None:
    by_bit = run_beside(python, stub, THROTTLING, STUB_GPUS="1")
    assert by_bit == [
        NEITHER,  # it has nothing to do
        NEITHER,  # the clocks that were asked for
        POWER,  # the cap
        NEITHER,  # by the hardware, which says why with another bit
        NEITHER,  # as fast as the others of its group
        HEAT,  # by the driver
        HEAT,  # by the hardware
        POWER,  # the brake of the machine
        NEITHER,  # the clocks of a display
    ]


@needs_stub
@pytest.mark.parametrize("question", ["HANDLE", "UUID"])
def test_a_gpu_that_is_lost_from_the_start_hides_no_other(
    python: str, stub: Path, question: str
) -> None:
    answers, notes = run_beside(python, stub, GPU, **{f"STUB_LOST_{question}": "0"})
    assert list(answers) == ["gpu.1"]
    assert notes == ["gpu.0 cannot be asked: GPU is lost"]


@needs_stub
def test_a_gpu_without_a_name_is_watched(python: str, stub: Path) -> None:
    lost = {"STUB_LOST_NAME": "0", "STUB_UNLIKE": "0", "CUDA_VISIBLE_DEVICES": "1"}
    answers, notes = run_beside(python, stub, GPU, **lost)
    assert list(answers) == ["gpu.0", "gpu.1"]
    assert notes[0].startswith("CUDA_VISIBLE_DEVICES=1 may mean others")


@needs_stub
@pytest.mark.parametrize("count", [0, 1, 8])
def test_as_many_gpus_as_there_are(python: str, stub: Path, count: int) -> None:
    answers, _ = run_beside(python, stub, GPU, STUB_GPUS=str(count))
    assert list(answers) == [f"gpu.{index}" for index in range(count)]


@needs_stub
def test_mig_instances_tell_their_memory(python: str, stub: Path) -> None:
    answers, _ = run_beside(python, stub, GPU, STUB_MIG="1")
    assert list(answers) == ["gpu.0", "gpu.0.mig.0", "gpu.0.mig.1", "gpu.1"]
    assert answers["gpu.0.mig.1"].keys() == {"gpu.0.mig.1.memory_used_bytes"}
    assert "gpu.0.utilization_percent" not in answers["gpu.0"]  # NVML does not know it then
    mine = run_beside(python, stub, GPU, STUB_MIG="1", CUDA_VISIBLE_DEVICES="MIG-00000001")
    assert list(mine[0]) == ["gpu.0.mig.1"]


@needs_stub
def test_only_the_devices_that_this_process_may_use(python: str, stub: Path) -> None:
    alike = {"STUB_GPUS": "8", "STUB_UNLIKE": "0"}
    answers, notes = run_beside(python, stub, GPU, **alike, CUDA_VISIBLE_DEVICES="5,2")
    assert (list(answers), notes) == (["gpu.5", "gpu.2"], [])
    ordered = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "1"}
    assert list(run_beside(python, stub, GPU, **ordered)[0]) == ["gpu.1"]
    answers, notes = run_beside(python, stub, GPU, CUDA_VISIBLE_DEVICES="1")
    assert list(answers) == ["gpu.0", "gpu.1"]  # unlike ones: CUDA may count otherwise
    assert notes[0].startswith("CUDA_VISIBLE_DEVICES=1 may mean others")


DEVICES = [
    Device("0", "GPU-aa11", None),
    Device("1", "GPU-aa22", None),
    Device("1.mig.0", "MIG-bb", None),
]


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["0", "1", "1.mig.0"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1", ["1", "1.mig.0"]),
        ("0,7,1", ["0"]),  # what is behind a wrong entry does not count
        ("GPU-aa2", ["1", "1.mig.0"]),
        ("GPU-aa", []),  # two begin so
        ("MIG-bb", ["1.mig.0"]),
        (" 0 , 0", ["0"]),
    ],
)
def test_visible_devices_as_cuda_reads_them(visible: str | None, names: list[str]) -> None:
    assert [device.name for device in usable(DEVICES, visible)] == names


@needs_stub
def test_what_this_process_may_not_know_is_told_as_such(python: str, stub: Path) -> None:
    answers, notes = run_beside(python, stub, GPU, STUB_REFUSED="1", STUB_GPUS="1")
    assert "gpu.0.sm_clock_mhz" not in answers["gpu.0"]
    assert answers["gpu.0"]["gpu.0.utilization_percent"] == 40
    assert notes[0] == "gpu.0 does not tell its clock: Insufficient Permissions"
    assert len(notes) == 4


@needs_stub
@pytest.mark.parametrize(
    ("code", "why"),
    [("9", "Driver Not Loaded"), ("18", "RM has detected an NVML/RM version mismatch.")],
)
def test_a_driver_that_does_not_start(python: str, stub: Path, code: str, why: str) -> None:
    answers, _ = run_beside(python, stub, GPU, STUB_INIT=code)
    assert answers == ["unavailable", f"NVML does not start: {why}"]


RUN = """
import json, time
from instrument.telemetry import HardwareMonitor
monitor = HardwareMonitor(interval_seconds=0.01)
monitor.start()
while len(monitor.samples()) < 5:
    time.sleep(0.01)
summary = monitor.stop()
print(json.dumps([summary, sorted(monitor.samples()[0]), sorted(monitor.latest())]))
"""


@needs_stub
def test_a_run_outlives_its_gpu_and_the_other_gpus_go_on(python: str, stub: Path) -> None:
    lost = {"STUB_LOST_AFTER": "4", "STUB_LOST": "1"}
    summary, first, last = run_beside(python, stub, RUN, **lost)
    assert summary["problems"] == ["could not read the gpu.1 probe: GPU is lost"]
    assert "gpu.1.utilization_percent" in first
    assert not any(name.startswith("gpu.1.") for name in last)
    assert {"gpu.0.utilization_percent", "host.memory_used_bytes"} <= set(last)
    assert summary["energy"]["gpu_source"] == "counter"
    assert summary["energy"]["gpu_joules"] == 500 * (summary["samples"] - 1)


SHOW = """
import json, time
from instrument import ExperimentContext
with ExperimentContext(name="gpu") as run:
    with run.phase("train"):
        while not any(e.record.__class__.__name__ == "TelemetrySampled"
                      for e in run.store.entries(run.id)):
            time.sleep(0.1)
summary = run.store.run(run.id)
print(json.dumps([summary.id, summary.telemetry, summary.recording.notes]))
"""


@needs_stub
def test_a_run_tells_its_gpus_by_phase_and_its_energy(python: str, stub: Path) -> None:
    given = {"INSTRUMENT_GRID_GCO2E_PER_KWH": "400", "STUB_REFUSED": "1"}
    run_id, telemetry, notes = run_beside(python, stub, SHOW, **given)
    readings = telemetry["phases"]["train"]["readings"]
    assert readings["gpu.0.utilization_percent"]["mean"] == 40
    assert telemetry["energy"]["grid_gco2e_per_kwh"] == 400
    assert "gpu.1 does not tell its clock: Insufficient Permissions" in notes
    command = [python, "-m", "instrument", "runs", "show", run_id]
    page = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "40.5 %" in page.split("phases")[1]  # the mean of both
    assert "400 g a kWh" in page


REAL = """
import json, subprocess, sys, time, torch
from instrument.telemetry.gpus import gpu_probes
from instrument.telemetry.torch import TorchProbe
memory = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
torch.cuda.synchronize()
probes = gpu_probes(lambda: (), print)
answers = {k: v for probe in probes.values() for k, v in probe.read(0.0).items()}
smi = subprocess.run({smi}, capture_output=True, text=True, check=True).stdout.splitlines()[0]
print(json.dumps([answers, TorchProbe().read(0.0), torch.cuda.mem_get_info(0), smi]))
"""
SMI = [
    "nvidia-smi",
    "--query-gpu=memory.used,memory.reserved,temperature.gpu",
    "--format=csv,noheader,nounits",
]


@pytest.mark.gpu
@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="needs an NVIDIA GPU")
def test_nvml_says_what_nvidia_smi_and_torch_say(python: str) -> None:
    program = REAL.replace("{smi}", repr(SMI))  # asked while the memory is still taken
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    answers, allocator, (free, total), smi = json.loads(done.stdout.splitlines()[-1])
    used = answers["gpu.0.memory_used_bytes"]
    assert used == pytest.approx(total - free, rel=0.05)
    assert allocator["torch.0.allocated_bytes"] == 1 << 30
    assert used > 1 << 30
    used_mib, reserved_mib, celsius = map(float, smi.split(","))
    assert used == pytest.approx((used_mib + reserved_mib) * 2**20, rel=0.05)
    assert answers["gpu.0.temperature_celsius"] == pytest.approx(celsius, abs=10)


STEP = """
import json, sys, time, torch
from instrument.telemetry import HardwareMonitor
from statistics import median
model = torch.nn.Sequential(*(torch.nn.Linear(4096, 4096) for _ in range(8))).cuda()
data = torch.randn(2048, 4096, device="cuda")
def steps(seconds):
    torch.cuda.synchronize(); began = time.perf_counter(); count = 0
    while time.perf_counter() - began < seconds:
        model(data).sum().backward(); torch.cuda.synchronize(); count += 1
    return (time.perf_counter() - began) / count
steps(3)
ratios = []
for _ in range(7):
    without = steps(3)
    with HardwareMonitor(interval_seconds=1.0):
        ratios.append(steps(3) / without)
print(json.dumps(median(ratios)))
"""


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="needs an NVIDIA GPU")
def test_a_training_step_slows_by_less_than_a_thousandth(python: str) -> None:
    done = subprocess.run([python, "-c", STEP], capture_output=True, text=True, check=True)
    ratio: Any = json.loads(done.stdout.splitlines()[-1])
    assert ratio < 1.001
