"""Each probe by itself, held against psutil where that knows the same."""

import os
from pathlib import Path

import psutil
import pytest
from capture.stub_gpus import build_stub, needs_stub, run_beside

from instrument.telemetry.host import HostProbe
from instrument.telemetry.portable import PortableProbe
from instrument.telemetry.probes import File, Rate
from instrument.telemetry.processes import ProcessProbe
from instrument.telemetry.traffic import DiskProbe, NetworkProbe


def test_processes_agree_with_psutil() -> None:
    probe = ProcessProbe()
    found = probe.read(0.0)
    assert found["process.memory_bytes"] == pytest.approx(
        psutil.Process().memory_info().rss, rel=0.1
    )
    assert found["tree.processes"] == len(psutil.Process().children(recursive=True)) + 1
    assert "process.cpu_percent" not in found  # a share needs two readings
    before = os.times()
    while sum(os.times()[:2]) < sum(before[:2]) + 0.2:
        sum(range(1000))
    assert probe.read(1.0)["process.cpu_percent"] >= 10
    probe.close()


def test_host_agrees_with_psutil() -> None:
    probe = HostProbe()
    first = probe.read(0.0)
    memory = psutil.virtual_memory()
    used = memory.total - memory.available
    assert first["host.memory_used_bytes"] == pytest.approx(used, rel=0.2)
    assert "host.cpu_percent" not in first
    sum(range(3_000_000))
    assert 0 <= probe.read(1.0)["host.cpu_percent"] <= 100
    probe.close()


def test_traffic_is_a_rate_of_the_system_s_counters() -> None:
    disk, network = DiskProbe(), NetworkProbe()
    assert disk.read(0.0) == {}
    assert network.read(0.0) == {}
    for rates in (disk.read(1.0), network.read(1.0)):
        assert len(rates) == 2
        assert all(rate >= 0 for rate in rates.values())
    disk.close()
    network.close()


def test_the_portable_probe_tells_the_same_names() -> None:
    probe = PortableProbe()
    probe.read(0.0)
    names = set(probe.read(1.0))
    probe.close()
    made = (ProcessProbe(), HostProbe(), DiskProbe(), NetworkProbe())
    for one in made:
        one.read(0.0)
        names -= set(one.read(1.0))
        one.close()
    assert names <= {"host.cpu_percent"}  # no tick may have passed in between


def test_rates() -> None:
    rate = Rate()
    assert rate.per_second(100, 1.0) is None
    assert rate.per_second(300, 3.0) == 100
    assert rate.per_second(0, 4.0) == 0  # a counter that began again
    assert rate.per_second(5, 4.0) is None


def test_a_file_longer_than_the_kernel_gives_at_once() -> None:
    file = File("/proc/self/smaps", 100_000)
    assert len(file.read_whole()) > 8192
    assert file.read_whole().startswith(file.read()[:20])
    file.close()
    file.close()


GPU = """
import json
from instrument.telemetry.gpus import GpuProbe
from instrument.telemetry.probes import ProbeUnavailable
try:
    probe = GpuProbe()
    answers = [probe.read(0.0) for _ in range({reads})]
    probe.close()
except ProbeUnavailable as reason:
    answers = ["unavailable", str(reason)]
except Exception as error:
    answers = ["failed", str(error)]
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_stub(tmp_path_factory.mktemp("stub"))


@needs_stub
def test_gpus(python: str, stub: Path) -> None:
    first, second = run_beside(python, stub, GPU.format(reads=2))
    assert first == second == {
        "gpu.0.utilization_percent": 40, "gpu.0.memory_used_bytes": 10**9,
        "gpu.0.power_watts": 250.5, "gpu.0.temperature_celsius": 60,
        "gpu.1.utilization_percent": 41, "gpu.1.memory_used_bytes": 2 * 10**9,
        "gpu.1.temperature_celsius": 61,
    }  # fmt: skip


@needs_stub
def test_a_gpu_that_is_lost(python: str, stub: Path) -> None:
    found = run_beside(python, stub, GPU.format(reads=3), STUB_LOST_AFTER="3")
    assert found == ["failed", "GPU is lost"]


@needs_stub
def test_a_driver_that_does_not_start(python: str, stub: Path) -> None:
    found = run_beside(python, stub, GPU.format(reads=1), STUB_INIT="9")
    assert found == ["unavailable", "NVML does not start: Driver Not Loaded"]


RUN = """
import json, time
from instrument.telemetry import HardwareMonitor
monitor = HardwareMonitor(interval_seconds=0.01)
monitor.start()
while len(monitor.samples()) < 5:
    time.sleep(0.01)
summary = monitor.stop()
print(json.dumps([summary["problems"], sorted(monitor.samples()[0]), sorted(monitor.latest())]))
"""


@needs_stub
def test_a_run_outlives_its_gpu(python: str, stub: Path) -> None:
    problems, first, last = run_beside(python, stub, RUN, STUB_LOST_AFTER="4")
    assert problems == ["could not read the gpu probe: GPU is lost"]
    assert "gpu.0.utilization_percent" in first
    assert not any(name.startswith("gpu.") for name in last)
    assert "host.memory_used_bytes" in last
