"""What one run of a process made durable, its next runs do not sync again; what is new, they do."""

import os
import shutil
from pathlib import Path

from instrument.clock import SystemClock
from instrument.testing.samples import record_run
from instrument_local import LocalStore
from instrument_local.files import Disk


def _synced(store_path: Path, run_id: str) -> list[str]:
    """What is synced while a run is recorded with a snapshot that all runs share."""
    disk, synced = Disk(), list[str]()

    def note(fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        synced.append(path.relative_to(store_path.parent).as_posix().partition("/tmp/")[0])  # noqa: S108 - of the store
        os.fsync(fd)

    disk.fsync = disk.fdatasync = note
    store = LocalStore(store_path, SystemClock(), disk)
    store.put_bytes(b"the snapshot")
    record_run(store, run_id)
    store.seal(run_id)
    return synced


def test_a_later_run_syncs_its_own_files_only(store_path: Path) -> None:
    first = set(_synced(store_path, "20260101-a"))
    root = store_path.name
    assert {".", root, f"{root}/runs", f"{root}/objects"} <= first
    _synced(store_path, "20260101-c")  # meets a snapshot that it did not make
    second = _synced(store_path, "20260101-b")
    run = f"{root}/runs/202601/20260101-b"
    assert {path for path in second if not path.endswith(".jsonl")} == {
        f"{root}/runs/202601",  # the name of the run
        run,  # the names of the journal and of the seal
        root,  # the seal, while it lies in tmp
    }
    assert second.count(f"{root}/runs/202601") == 1


def test_what_was_removed_and_made_again_is_synced_again(store_path: Path) -> None:
    first = _synced(store_path, "20260101-a")
    kept = store_path.rename(store_path.with_name("kept"))  # its numbers are not given again
    second = _synced(store_path, "20260101-a")
    assert set(first) == set(second)
    shutil.rmtree(kept)


def test_a_directory_that_another_process_made_is_synced(store_path: Path) -> None:
    _synced(store_path, "20260101-a")
    (store_path / "runs" / "202602").mkdir(mode=0o700)
    assert f"{store_path.name}/runs" in _synced(store_path, "20260201-b")
