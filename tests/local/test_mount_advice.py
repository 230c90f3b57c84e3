"""What the options of a mount mean for a store, and that `doctor` says so."""

import subprocess
import sys
from pathlib import Path

import pytest
from faults.small_disk import in_memory

from instrument.clock import SystemClock
from instrument_local import open_store
from instrument_local.mounts import Mount, mount_of


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("nfs4", "rw,relatime,vers=4.2,hard,local_lock=none", []),
        ("nfs4", "rw,soft,local_lock=none", ["soft: a slow server can lose writes"]),
        ("nfs", "rw,softerr", ["softerr: "]),
        ("nfs", "rw,vers=3,nolock,local_lock=all", ["nolock: locks hold on one machine only"]),
        ("nfs", "rw,local_lock=posix,nocto", ["nocto: others", "local_lock=posix: locks"]),
        ("lustre", "rw,flock,lazystatfs", []),
        ("lustre", "rw,localflock", ["localflock: locks"]),
        ("lustre", "rw,lazystatfs", ["lustre without flock: locks"]),
        ("ext4", "rw,relatime", []),
        ("ext4", "rw,nobarrier", ["nobarrier: a power cut"]),
        ("ext4", "rw,soft,nolock", []),
        ("tmpfs", "rw,size=400k", ["tmpfs: this is memory"]),
        ("overlay", "rw,lowerdir=/a", ["overlay: this is a container's layer"]),
    ],
)
def test_each_risk_is_one_line(kind: str, options: str, said: list[str]) -> None:
    advice = Mount(kind, options).advice
    assert len(advice) == len(said)
    for line, start in zip(advice, said, strict=True):
        assert line.startswith(start)
        assert "; " in line
        assert "\n" not in line


def test_doctor_tells_it(tmp_path: Path) -> None:
    with in_memory(tmp_path / "memory", "4m") as place:
        assert mount_of(place / "store").kind == "tmpfs"
        open_store(place / "store", SystemClock()).put_bytes(b"x")
        command = [sys.executable, "-m", "instrument", "--store", str(place / "store"), "doctor"]
        said = subprocess.run(command, check=False, capture_output=True, text=True).stdout
        assert "this is memory" in said
