"""On a file system that can share blocks an artifact costs no space, and stays what it was."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from faults.small_disk import in_a_file

from instrument.clock import SystemClock
from instrument_local import open_store

SIZE_MIB = 16
DISK_MIB = 128  # the least that mkfs.btrfs takes is 109 MiB


@pytest.fixture
def btrfs(tmp_path: Path) -> Iterator[Path]:
    with in_a_file(tmp_path / "disk", DISK_MIB, "mkfs.btrfs", "-q") as place:
        yield place


def _used_bytes(place: Path) -> int:
    os.sync()
    subprocess.run(["sync", "--file-system", str(place)], check=True)
    found = os.statvfs(place)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def test_a_file_is_shared_until_it_changes(btrfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # btrfs would share the blocks here, too; what needs this call alone is told apart.
    no_copy = OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    monkeypatch.setattr(os, "copy_file_range", Mock(side_effect=no_copy))
    source = btrfs / "weights"
    content = os.urandom(1 << 20) * SIZE_MIB
    source.write_bytes(content)
    store = open_store(btrfs / "store", SystemClock())
    store.put_bytes(b"makes what every store has")
    before = _used_bytes(btrfs)
    digest = store.put_file(source).digest
    assert _used_bytes(btrfs) - before < (SIZE_MIB << 20) // 4
    with source.open("r+b") as stream:
        stream.write(b"changed")
    assert store.get_bytes(digest) == content
    assert store.verify().problems == ()
