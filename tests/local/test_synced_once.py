"""What one run of a process made durable, its next runs do not sync again; what is new, they do."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from instrument.clock import SystemClock
from instrument.records import Metrics, Record, TelemetrySampled
from instrument.testing.samples import AT, process_started, record_run
from instrument_local import LocalStore
from instrument_local.files import Disk
from instrument_local.flusher import flusher
from instrument_local.journal import Journal


def _synced(
    store_path: Path, run_id: str, mkdir: Callable[[Path, int], None] = os.mkdir
) -> list[str]:
    """What is synced while a run is recorded with a snapshot that all runs share."""
    disk, synced = Disk(), list[str]()

    def note(fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        synced.append(path.relative_to(store_path.parent).as_posix().partition("/tmp/")[0])  # noqa: S108 - of the store
        os.fsync(fd)

    disk.fsync = disk.fdatasync = note
    disk.mkdir = mkdir
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


def test_a_name_that_another_process_made_again_is_synced_though_its_number_is_the_same(
    store_path: Path,
) -> None:
    _synced(store_path, "20260101-a")
    assert f"{store_path.name}/runs" not in _synced(store_path, "20260101-b")
    month, aside = store_path / "runs" / "202601", store_path / "aside"
    month.rename(aside)
    aside.rename(month)
    assert f"{store_path.name}/runs" in _synced(store_path, "20260101-c")


def test_a_name_that_is_made_again_here_is_synced_whatever_number_and_time_say(
    store_path: Path,
) -> None:
    _synced(store_path, "20260101-a")
    runs, aside = store_path / "runs", store_path / "aside"
    month, before = runs / "202601", runs.stat()
    month.rename(aside)

    def mkdir(path: Path, mode: int) -> None:
        if path != month:
            os.mkdir(path, mode)  # noqa: PTH102 - in its place
            return
        aside.rename(month)
        os.utime(runs, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert f"{store_path.name}/runs" in _synced(store_path, "20260101-b", mkdir)


def test_samples_of_an_idle_run_are_synced_together_and_all_else_within_a_second(
    store_path: Path,
) -> None:
    disk, synced = Disk(), list[int]()

    def note(fd: int) -> None:
        synced.append(fd)
        os.fdatasync(fd)

    disk.fdatasync = note
    store = LocalStore(store_path, SystemClock(), disk)
    journal = store.begin(process_started("20260101-a"))
    assert isinstance(journal, Journal)
    flusher.forget(journal)  # this test is the thread that looks after it

    def syncs_of_a_second(*records: Record) -> int:
        synced.clear()
        for record in records:
            journal.take(record, AT)
        journal.tend(heartbeat=False)
        return len(synced)

    sample = TelemetrySampled(values={"cpu": 1.0}, elapsed_seconds=1.0, whole=True)
    metric = Metrics(values={"loss": 0.5}, step=1)
    assert syncs_of_a_second(sample) == 1  # the journal is new
    assert [syncs_of_a_second(sample) for _ in range(30)].count(1) == 3
    assert syncs_of_a_second(metric) == 1
    assert syncs_of_a_second(sample) == 0
    assert syncs_of_a_second(sample, metric) == 1
    assert syncs_of_a_second(metric, sample) == 1
    assert syncs_of_a_second() == 0
    synced.clear()
    journal.take(sample, AT)
    journal.close()
    assert synced
