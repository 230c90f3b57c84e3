"""Each probe by itself, held against psutil where that knows the same."""

import os
from pathlib import Path

import psutil
import pytest

from instrument.telemetry.amd import AmdGpuProbe
from instrument.telemetry.energy import PackageEnergyProbe, energy
from instrument.telemetry.groups import GroupProbe
from instrument.telemetry.host import HostProbe
from instrument.telemetry.portable import PortableProbe
from instrument.telemetry.probes import File, Probe, ProbeUnavailable, Rate
from instrument.telemetry.processes import ProcessProbe
from instrument.telemetry.traffic import DiskProbe, NetworkProbe, OwnDiskProbe


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
    made: tuple[Probe, ...] = (ProcessProbe(), HostProbe(), DiskProbe(), NetworkProbe())
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


def test_what_this_process_writes_to_the_disk(tmp_path: Path) -> None:
    probe = OwnDiskProbe()
    assert probe.read(0.0) == {}
    with (tmp_path / "data").open("wb") as file:
        file.write(bytes(8_000_000))
        file.flush()
        os.fsync(file.fileno())
    assert probe.read(2.0)["process.disk_written_bytes_per_second"] >= 4_000_000
    probe.close()


def test_a_process_alone_follows_no_child() -> None:
    probe = ProcessProbe(tree=False)
    names = probe.read(0.0).keys()
    probe.close()
    assert "process.memory_bytes" in names
    assert not any(name.startswith("tree.") for name in names)


def files(root: Path, contents: dict[str, str]) -> Path:
    for name, text in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_control_groups_of_version_2(tmp_path: Path) -> None:
    root = files(tmp_path, {
        "job/memory.current": "1000\n", "job/memory.max": "4000\n",
        "job/cpu.stat": "usage_usec 500000\nuser_usec 1\n", "job/cpu.max": "150000 100000\n",
    })  # fmt: skip
    probe = GroupProbe("0::/job\n", root)
    assert probe.read(0.0) == {
        "cgroup.memory_used_bytes": 1000,
        "cgroup.memory_limit_bytes": 4000,
        "cgroup.cpu_limit_percent": 150,
    }
    (root / "job/cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    assert probe.read(2.0)["cgroup.cpu_percent"] == 50
    probe.close()


def test_control_groups_of_version_1_seen_from_inside_a_container(tmp_path: Path) -> None:
    root = files(tmp_path, {
        "memory/memory.usage_in_bytes": "1000\n", "memory/memory.limit_in_bytes": "4000\n",
        "cpuacct/cpuacct.usage": "0\n", "cpu/cpu.cfs_quota_us": "-1\n",
        "cpu/cpu.cfs_period_us": "100000\n",
    })  # fmt: skip
    lines = "4:memory:/docker/1\n2:cpu,cpuacct:/docker/1\n0::/\n"
    probe = GroupProbe(lines, root)
    assert probe.read(0.0) == {
        "cgroup.memory_used_bytes": 1000,
        "cgroup.memory_limit_bytes": 4000,
    }
    probe.close()
    (root / "memory/memory.limit_in_bytes").write_text("9223372036854771712\n")
    with pytest.raises(ProbeUnavailable):
        GroupProbe(lines, root)


def test_the_energy_of_the_packages_goes_on_where_its_counter_begins_again(tmp_path: Path) -> None:
    files(tmp_path, {
        "intel-rapl:0/energy_uj": "9000000", "intel-rapl:0/max_energy_range_uj": "10000000",
        "intel-rapl:0:0/energy_uj": "5", "intel-rapl:0:0/max_energy_range_uj": "10000000",
    })  # fmt: skip
    probe = PackageEnergyProbe(tmp_path)
    (tmp_path / "intel-rapl:0/energy_uj").write_text("1000000")
    assert probe.read(1.0) == {"cpu.energy_joules": 2.0}
    probe.close()
    with pytest.raises(ProbeUnavailable, match="do not count"):
        PackageEnergyProbe(tmp_path / "nowhere")


def test_energy_is_counted_where_it_can_be_and_says_where_it_cannot() -> None:
    assert energy({}, 10.0, 400.0) == {}
    counted = {"gpu.0.energy_joules": {"last": 3000.0}, "gpu.0.power_watts": {"mean": 1.0}}
    assert energy(counted, 10.0, None) == {"gpu_joules": 3000.0, "gpu_source": "counter"}
    both = {**counted, "gpu.1.power_watts": {"mean": 60.0}, "cpu.energy_joules": {"last": 1.0}}
    told = energy(both, 10.0, 360.0)
    assert (told["gpu_joules"], told["gpu_source"]) == (3600.0, "counter and integrated power")
    assert told["gco2e"] == pytest.approx(0.3601)


class AmdLibrary:
    """What one GPU without a temperature needs of AMD's module, under its names."""

    class AmdSmiLibraryException(Exception):  # noqa: N818 - AMD's name
        pass

    class AmdSmiTemperatureType:
        HOTSPOT = 1

    class AmdSmiTemperatureMetric:
        CURRENT = 0

    counted = 1_000_000

    def amdsmi_get_gpu_activity(self, handle: object) -> dict[str, object]:
        return {"gfx_activity": 97, "umc_activity": "N/A", "mm_activity": 0}

    def amdsmi_get_gpu_vram_usage(self, handle: object) -> dict[str, int]:
        return {"vram_total": 196_592, "vram_used": 1000}

    def amdsmi_get_power_info(self, handle: object) -> dict[str, object]:
        return {"current_socket_power": "N/A", "average_socket_power": 410}

    def amdsmi_get_temp_metric(self, handle: object, sensor: int, metric: int) -> int:
        raise self.AmdSmiLibraryException

    def amdsmi_get_energy_count(self, handle: object) -> dict[str, float]:
        self.counted += 1_000_000
        return {"energy_accumulator": self.counted, "counter_resolution": 15.0, "timestamp": 0}


def test_an_amd_gpu() -> None:
    probe = AmdGpuProbe(AmdLibrary(), 0, object())
    probe.read(0.0)
    assert probe.read(1.0) == {
        "gpu.0.utilization_percent": 97,
        "gpu.0.memory_used_bytes": 1000 << 20,
        "gpu.0.power_watts": 410,
        "gpu.0.energy_joules": 15.0,
    }
