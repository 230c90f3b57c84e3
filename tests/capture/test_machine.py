"""The machine, its limits, its disks and its libraries, as the kernel's files tell them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from instrument.capture.cgroup import limits
from instrument.capture.disks import disks
from instrument.capture.elf import build_id
from instrument.capture.libraries import loaded_libraries
from instrument.capture.parts import NotKnown
from instrument.capture.processors import affinity, cpu, flags, ranges
from instrument.capture.rocm import rocm
from instrument.capture.system import memory, system, virtualisation

CPUINFO = """\
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum 8480+
microcode\t: 0x2b
siblings\t: 112
cpu cores\t: 56
flags\t\t: fpu avx512f {extra} amx_tile

processor\t: 1
model name\t: another
"""


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def mounted(*lines: str) -> str:
    return "".join(f"{30 + n} 20 0:{n} {line}\n" for n, line in enumerate(lines))


V2 = mounted("/ /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw")
GROUP = "sys/fs/cgroup/user.slice/job_7/step_0"


def test_limits_of_version_2_are_the_tightest_upwards(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/user.slice/job_7/step_0\n",
            "proc/self/mountinfo": V2,
            f"{GROUP}/memory.max": "max\n",
            f"{GROUP}/cpu.max": "400000 100000\n",
            f"{GROUP}/../memory.max": "8000\n",
            f"{GROUP}/../cpu.max": "150000 100000\n",
            "sys/fs/cgroup/user.slice/memory.max": "9000\n",
            "sys/fs/cgroup/user.slice/cpu.max": "max 100000\n",
            "sys/fs/memory.max": "1\n",
        },
    )
    assert limits(tmp_path) == {
        "cgroup_version": 2, "memory_bytes": 8000, "cpu_count": 1.5, "reasons": {},
    }  # fmt: skip


def test_limits_inside_a_container_that_sees_its_own_group_as_the_top(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/\n",
        "proc/self/mountinfo": V2,
        "sys/fs/cgroup/memory.max": "1000\n",
    }
    assert limits(tree(tmp_path, files))["memory_bytes"] == 1000


def test_limits_where_only_the_own_part_of_the_hierarchy_is_mounted(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/docker/ab\n",
        "proc/self/mountinfo": mounted("/docker/ab /sys/fs/cgroup ro - cgroup2 cgroup rw"),
        "sys/fs/cgroup/memory.max": "77\n",
    }
    assert limits(tree(tmp_path, files))["memory_bytes"] == 77


def test_limits_of_version_1(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "5:memory:/slurm/job_7\n3:cpu,cpuacct:/slurm/job_7\n0::/\n",
        "proc/self/mountinfo": mounted(
            "/ /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
            "/ /sys/fs/cgroup/cpu\\040and rw - cgroup cgroup rw,cpu,cpuacct",
        ),
        "sys/fs/cgroup/memory/slurm/job_7/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/slurm/memory.limit_in_bytes": "5000\n",
        "sys/fs/cgroup/cpu and/slurm/job_7/cpu.cfs_quota_us": "50000\n",
        "sys/fs/cgroup/cpu and/slurm/job_7/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/cpu and/slurm/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu and/slurm/cpu.cfs_period_us": "100000\n",
    }
    found = limits(tree(tmp_path, files))
    assert found == {"cgroup_version": 1, "memory_bytes": 5000, "cpu_count": 0.5, "reasons": {}}


def test_a_group_that_tries_to_climb_out_stays_inside(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/../../outside\n",
        "proc/self/mountinfo": V2,
        "sys/fs/cgroup/memory.max": "max\n",
        "sys/outside/memory.max": "1\n",
    }
    assert limits(tree(tmp_path, files))["memory_bytes"] is None


@pytest.mark.parametrize("text", ["", "rubbish", "0::/\n", "\x00\x01::\n5:memory"])
def test_no_control_groups(tmp_path: Path, text: str) -> None:
    with pytest.raises(NotKnown, match="no control groups"):
        limits(tree(tmp_path, {"proc/self/cgroup": text, "proc/self/mountinfo": "1 2 3\n - \n"}))


def test_this_machine_s_limits_can_be_read() -> None:
    try:
        found = limits()
    except NotKnown:
        pytest.skip("this machine has no control groups")
    assert found["cgroup_version"] in {1, 2}
    assert found["memory_bytes"] is None or found["memory_bytes"] > 1 << 20


def test_processors(tmp_path: Path) -> None:
    node = "sys/devices/system/node"
    files = {
        "proc/cpuinfo": CPUINFO.format(extra=""),
        f"{node}/node0/cpulist": "0-55\n",
        f"{node}/node0/meminfo": "Node 0 MemTotal:       1024 kB\nNode 0 MemFree: 7 kB\n",
        f"{node}/node1/cpulist": "56-111\n",
        f"{node}/online": "0-1\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
        "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "3800000\n",
    }
    found = cpu(tree(tmp_path, files))
    assert found["model"] == "Intel(R) Xeon(R) Platinum 8480+"
    assert (found["cores_per_socket"], found["threads_per_core"]) == (56, 2)
    assert (found["governor"], found["max_khz"]) == ("performance", 3_800_000)
    assert found["numa"] == [
        {"node": 0, "processors": "0-55", "memory_bytes": 1 << 20},
        {"node": 1, "processors": "56-111", "memory_bytes": None},
    ]
    assert flags(tmp_path) == ["amx_tile", "avx512f", "fpu"]


def test_processors_of_a_kernel_that_tells_nothing(tmp_path: Path) -> None:
    found = cpu(tmp_path)
    assert (found["model"], found["numa"], found["max_khz"]) == (None, None, None)
    assert found["count"] == os.cpu_count()
    assert found["reasons"]["numa"] == "the kernel does not tell it"
    assert "count" not in found["reasons"]
    with pytest.raises(NotKnown, match="flags"):
        flags(tmp_path)


def test_affinity_is_what_this_process_may_use(python: str) -> None:
    first = min(os.sched_getaffinity(0))
    program = (
        f"import os; os.sched_setaffinity(0, [{first}]);"
        "from instrument.capture.processors import affinity, cpu;"
        "print(affinity(), cpu()['usable_count'])"
    )
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"{{'processors': '{first}'}} 1\n"
    assert affinity() == {"processors": ranges(os.sched_getaffinity(0))}


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([3], "3"), ([0, 1, 2, 5, 7, 6], "0-2,5-7"), ([9, 4], "4,9")]
)
def test_ranges(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text


@pytest.mark.parametrize(
    ("files", "virtual", "hypervisor"),
    [
        ({"proc/cpuinfo": CPUINFO.format(extra="hypervisor")}, True, None),
        ({"proc/cpuinfo": CPUINFO.format(extra="")}, False, None),
        ({"proc/cpuinfo": "Features\t: fp asimd\n"}, None, None),
        ({}, None, None),
        ({"sys/hypervisor/type": "xen\n"}, None, "xen"),
        ({"proc/sys/kernel/osrelease": "5.15.0-microsoft-standard-WSL2\n"}, None, "wsl"),
    ],
)
def test_virtualisation(
    tmp_path: Path, files: dict[str, str], virtual: bool | None, hypervisor: str | None
) -> None:
    tree(tmp_path, {**files, "sys/class/dmi/id/sys_vendor": "QEMU\n"})
    found = virtualisation(tmp_path)
    assert (found["is_virtual"], found["hypervisor"]) == (virtual, hypervisor)
    assert (found["vendor"], found["product"]) == ("QEMU", None)


def test_the_system_says_what_is_so(tmp_path: Path) -> None:
    assert system()["kernel"] == os.uname().release
    assert memory()["total_bytes"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    found = system(tree(tmp_path, {"etc/os-release": "ID='rocky'\nVERSION_ID=\"9.4\"\nodd\n"}))
    assert (found["distribution"], found["distribution_version"]) == ("rocky", "9.4")


MOUNTS = (
    "/ / rw,relatime - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/AB,workdir=/w",
    "/ /data rw - nfs4 filer.example.org:/vol rw,vers=4.2",
    "/ /data/my\\040set rw - cifs //me:secret@host/share rw,password=hunter2,vers=3.0",
    "/ /data/my\\040set/hot rw - tmpfs tmpfs rw,size=10g",
)


def test_disks_of_all_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store_path: Path
) -> None:
    root = tree(tmp_path / "root", {"proc/self/mountinfo": mounted(*MOUNTS) + "short - line\n"})
    monkeypatch.setattr(
        "instrument.capture.disks._directories",
        lambda: {"a": "/home", "b": "/data/x", "c": "/data/my set", "d": "/data/my set/hot/x"},
    )
    found = disks(root)
    kinds = {name: found[name]["file_system"] for name in "abcd"}
    assert kinds == {"a": "overlay", "b": "nfs4", "c": "cifs", "d": "tmpfs"}
    assert found["b"]["source"] == "filer.example.org:/vol"
    assert "hunter2" not in str(found)
    assert "docker/overlay2" not in str(found), "layers are other ones in each container"
    assert found["c"]["options"] == ["rw", "vers=3.0"]


def test_disks_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.chdir("/proc")
    found = disks()
    assert found["working_directory"]["file_system"] == "proc"
    told = os.statvfs(tmp_path)
    for name in ("store", "data"):
        assert found[name]["total_bytes"] == told.f_blocks * told.f_frsize
    assert found["reasons"] == {}


def test_disks_when_the_working_directory_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    found = disks()
    assert found["working_directory"] is None
    assert "removed" in found["reasons"]["working_directory"]
    with pytest.raises(NotKnown, match="mountinfo"):
        disks(tmp_path)


needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
TOLD = "0123456789abcdef0123456789abcdef01234567"


def compiled(directory: Path, *options: str) -> Path:
    source = directory / "empty.c"
    source.write_text("int one(void) { return 1; }\n")
    library = directory / "libempty.so"
    command = ["gcc", "-shared", "-fPIC", *options, "-o", str(library), str(source)]
    subprocess.run(command, check=True)
    return library


@needs_gcc
def test_build_ids_are_what_the_linker_wrote(tmp_path: Path) -> None:
    assert build_id(compiled(tmp_path, f"-Wl,--build-id=0x{TOLD}")) == TOLD
    assert build_id(compiled(tmp_path, "-Wl,--build-id=none")) is None


@needs_gcc
def test_damaged_libraries_have_no_build_id(tmp_path: Path) -> None:
    library = compiled(tmp_path, f"-Wl,--build-id=0x{TOLD}")
    whole = library.read_bytes()
    for length in (0, 3, 5, 20, 63, 64, 100, 400):
        library.write_bytes(whole[:length])
        assert build_id(library) is None
    library.write_bytes(whole[:32] + b"\xff" * 32 + whole[64:])
    assert build_id(library) is None
    assert build_id(tmp_path / "none.so") is None
    os.mkfifo(tmp_path / "pipe.so")
    assert build_id(tmp_path / "pipe.so") is None


@needs_gcc
def test_a_loaded_library_is_listed_with_its_build_id(tmp_path: Path, python: str) -> None:
    library = compiled(tmp_path, f"-Wl,--build-id=0x{TOLD}")
    program = (
        f"import ctypes; ctypes.CDLL({str(library)!r});"
        "from instrument.capture.libraries import loaded_libraries;"
        f"found = loaded_libraries(); print(found[{str(library)!r}])"
    )
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == TOLD
    assert not any(".cpython-" in path for path in loaded_libraries())


@pytest.mark.skipif(shutil.which("readelf") is None, reason="needs readelf")
def test_build_ids_agree_with_readelf() -> None:
    for path, found in loaded_libraries().items():
        notes = subprocess.run(
            ["readelf", "-n", path], capture_output=True, text=True, check=False
        ).stdout
        line = next((each for each in notes.splitlines() if "Build ID:" in each), None)
        assert found == (line.rpartition(" ")[2] if line else None), path


def test_libraries_of_a_kernel_without_proc(tmp_path: Path) -> None:
    with pytest.raises(NotKnown, match="maps"):
        loaded_libraries(tmp_path)


def test_amd_gpus(tmp_path: Path) -> None:
    card = "sys/class/drm/card{}/device/{}"
    files = {
        "sys/module/amdgpu/version": "6.8.5\n",
        "opt/rocm/.info/version": "6.2.0-66\n",
        card.format(10, "vendor"): "0x1002\n",
        card.format(10, "product_name"): "AMD Instinct MI300X\n",
        card.format(2, "vendor"): "0x1002\n",
        card.format(2, "mem_info_vram_total"): "205822885888\n",
        card.format(0, "vendor"): "0x1a03\n",
        "sys/class/drm/card2-DP-1/device/vendor": "0x1002\n",
    }
    found = rocm(tree(tmp_path, files))
    assert (found["version"], found["driver"], found["reasons"]) == ("6.2.0-66", "6.8.5", {})
    assert [device["memory_total_bytes"] for device in found["devices"]] == [205822885888, None]
    assert [device["name"] for device in found["devices"]] == [None, "AMD Instinct MI300X"]


def test_no_amd_gpu(tmp_path: Path) -> None:
    with pytest.raises(NotKnown, match="no AMD GPU"):
        rocm(tree(tmp_path, {"sys/class/drm/card0/device/vendor": "0x10de\n"}))


def test_the_parts_read_without_psutil(python: str) -> None:
    program = (
        "import sys; from instrument.capture.snapshot import capture_snapshot;"
        "capture_snapshot(3); print('psutil' in sys.modules)"
    )
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n", sys.path
