"""The snapshot: true, stable, and honest about what it lacks."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from instrument.canonical import canonical_bytes, digest
from instrument.capture.container import container
from instrument.capture.lockfiles import lock_files
from instrument.capture.parts import NotKnown, read_part
from instrument.capture.snapshot import capture_snapshot
from instrument.capture.system import disk
from instrument.capture.variables import scheduler, variables
from instrument.errors import UsageError

DIGEST = (
    "from instrument.capture.snapshot import capture_snapshot;"
    "from instrument.canonical import digest;"
    "{imports}print(digest(capture_snapshot({level})[0]))"
)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_equal_environments_have_equal_digests(python: str, level: int) -> None:
    def of_a_process() -> str:
        program = DIGEST.format(imports="", level=level)
        done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
        return done.stdout

    assert of_a_process() == of_a_process()


@pytest.mark.parametrize("level", [1, 2])
def test_what_is_loaded_does_not_change_it(python: str, level: int) -> None:
    pytest.importorskip("torch")
    digests = {
        subprocess.run(
            [python, "-c", DIGEST.format(imports=imports, level=level)],
            capture_output=True, text=True, check=True,
        ).stdout
        for imports in ("", "import torch, numpy;")
    }  # fmt: skip
    assert len(digests) == 1


def test_levels_add_parts() -> None:
    parts = [set(capture_snapshot(level)[0]) for level in (1, 2, 3)]
    assert parts[0] == {"level", "python", "packages", "gpu"}
    assert parts[0] < parts[1] < parts[2]
    assert {"system", "cpu", "memory", "disk", "cuda", "package_sources"} <= parts[1]
    assert {"container", "variables", "scheduler", "libraries", "lock_files", "cpu_flags"} <= parts[
        2
    ]


def test_every_part_has_its_line_of_health_and_a_reason_when_unknown() -> None:
    snapshot, healths = capture_snapshot(3)
    assert [health.part for health in healths] == [name for name in snapshot if name != "level"]
    for health in healths:
        assert (snapshot[health.part] is None) == (health.status != "done")
        assert (health.reason is None) == (health.status == "done")


def test_it_is_json_and_says_what_is_so() -> None:
    snapshot: dict[str, Any] = capture_snapshot(2)[0]
    assert canonical_bytes(snapshot)
    assert snapshot["python"]["version"] == sys.version.split(maxsplit=1)[0]
    assert snapshot["system"]["kernel"] == os.uname().release
    assert snapshot["cpu"]["count"] == os.cpu_count()
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert snapshot["memory"]["total_bytes"] == total


def test_an_unknown_level() -> None:
    with pytest.raises(UsageError, match="use 1, 2 or 3"):
        capture_snapshot(4)


def test_a_part_that_fails_hangs_or_cannot_know() -> None:
    def unknown() -> None:
        raise NotKnown("no such thing here")

    def broken() -> None:
        raise RuntimeError("first\nsecond")

    value, health = read_part("a", unknown)
    assert (value, health.status, health.reason) == (None, "skipped", "no such thing here")
    value, health = read_part("b", broken)
    assert (value, health.status, health.reason) == (None, "failed", "RuntimeError: first second")
    value, health = read_part("c", lambda: time.sleep(5), limit_seconds=0.05)
    assert (value, health.status) == (None, "timed_out")
    value, health = read_part("d", lambda: {"x": 1})
    assert (value, health.status, health.reason) == ({"x": 1}, "done", None)


def test_variables_are_an_allow_list_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("HF_TOKEN", "sesame-1")
    monkeypatch.setenv("HF_ENDPOINT", "https://me:sesame-2@hub.example.org")
    monkeypatch.setenv("MY_OWN_THING", "private")
    monkeypatch.setenv("PYTHONODD", b"\xff".decode("utf-8", "surrogateescape"))
    found = variables()
    assert found["values"]["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert "HF_TOKEN" in found["redacted"]
    assert "MY_OWN_THING" not in found["values"]
    assert b"sesame" not in canonical_bytes(found)


def test_scheduler_leaves_ids_of_jobs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_PARTITION", "gpu")
    before = digest(scheduler())
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    assert scheduler()["SLURM_JOB_PARTITION"] == "gpu"
    assert digest(scheduler()) == before


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("files", "environment", "kinds"),
    [
        ({}, {}, []),
        ({".dockerenv": ""}, {}, ["docker"]),
        ({"proc/self/cgroup": f"0::/system.slice/docker-{HEX}.scope\n"}, {}, ["docker"]),
        ({"proc/self/cgroup": f"4:memory:/docker/{HEX}\n"}, {}, ["docker"]),
        ({"run/.containerenv": ""}, {"container": "podman"}, ["podman"]),
        ({"proc/1/cgroup": f"0::/libpod_parent/libpod-{HEX}\n"}, {}, ["podman"]),
        ({".singularity.d/env": ""}, {"APPTAINER_CONTAINER": "/x.sif"}, ["apptainer"]),
        ({"proc/self/cgroup": f"0::/kubepods/besteffort/pod1/{HEX}\n"}, {}, ["kubernetes"]),
        ({}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, ["kubernetes"]),
        ({"proc/self/cgroup": "0::/user.slice/session-1.scope\n"}, {}, []),
    ],
)
def test_containers(
    tmp_path: Path, files: dict[str, str], environment: dict[str, str], kinds: list[str]
) -> None:
    found = container(machine(tmp_path, files), environment)
    assert found["kinds"] == kinds
    assert HEX not in str(found)


def test_limits_of_control_groups(tmp_path: Path) -> None:
    group = "sys/fs/cgroup"
    second = machine(
        tmp_path / "v2",
        {
            f"{group}/cgroup.controllers": "cpu",
            f"{group}/memory.max": "1000\n",
            f"{group}/cpu.max": "200000 100000\n",
        },
    )
    found = container(second, {})
    assert found["cgroup_version"] == 2
    assert found["limits"] == {"memory_bytes": 1000, "cpu_quota_us": 200000}
    first = machine(
        tmp_path / "v1",
        {
            f"{group}/memory/memory.limit_in_bytes": "9223372036854771712",
            f"{group}/cpu/cpu.cfs_quota_us": "-1",
        },
    )
    found = container(first, {})
    assert found["cgroup_version"] == 1
    assert found["limits"] == {"memory_bytes": None, "cpu_quota_us": None}


def test_disk_of_a_mount_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/proc")
    assert disk()["file_system"] == "proc"
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(NotKnown, match="removed"):
        disk()


def test_lock_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotKnown):
        lock_files()
    (tmp_path / "uv.lock").write_text("")
    assert lock_files() == {
        "uv.lock": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    }
