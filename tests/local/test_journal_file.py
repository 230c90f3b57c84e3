"""What a journal is on disk, and what it does when the disk or the process misbehaves."""

import errno
import gc
import json
import os
import random
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Self

import pytest
from local.faulty_disk import FaultyDisk, chains, journals, lines

from instrument.clock import SystemClock
from instrument.errors import UsageError
from instrument.protocols import Records
from instrument.records import Metrics, Params, RecordsLost, RunFinished
from instrument.testing import FakeClock
from instrument.testing.samples import AT, process_started, record_run
from instrument.vocabulary import RunState
from instrument_local import LocalStore, open_store
from instrument_local.files import Disk
from instrument_local.journal import Journal

RUN = "20260304-050607-0123456789ab"
METRIC = Metrics(values={"loss": 0.5}, step=1)


def test_lines_are_as_documented_and_chained(store_path: Path) -> None:
    store = open_store(store_path, FakeClock())
    journal = store.begin(process_started(RUN))
    journal.take(Params(values={"ü": [1, None]}, source="config"), AT)
    (path,) = journals(store_path)
    assert path.relative_to(store_path).as_posix() == f"runs/202603/{RUN}/1-0-host-1-1000.jsonl"
    second = path.read_text().splitlines()[1]
    assert second.startswith(
        '{"seq":1,"at":"2026-03-04T05:06:07.890123Z",'
        '"record":{"kind":"params","values":{"ü":[1,null]},"source":"config"},"chain":"'
    )
    assert list(json.loads(second)) == ["seq", "at", "record", "chain"]
    found = list(chains(path, RUN))
    assert len(found) == 2
    assert all(stated == computed for stated, computed in found)
    journal.close()


def test_a_run_without_a_date_lies_in_the_month_of_its_first_journal(store_path: Path) -> None:
    clock = FakeClock(datetime(2026, 1, 31, tzinfo=UTC))
    store = open_store(store_path, clock)
    record_run(store, "slurm-1234")
    clock.advance(timedelta(days=2).total_seconds())
    store.begin(process_started("slurm-1234", rank=1)).close()
    record_run(store, "999999-x")
    assert {path.parent.name for path in store_path.glob("runs/*/*")} == {"202601", "202602"}
    assert {path.parent.parent.name for path in journals(store_path) if "slurm" in str(path)} == {
        "202601"
    }
    assert store.run("slurm").id == "slurm-1234"
    assert len(list(store.entries("slurm-1234"))) == 4
    assert store.run("9999").id == "999999-x"


def test_a_run_that_met_the_change_of_month_is_one_run(store_path: Path) -> None:
    store = open_store(store_path, FakeClock(datetime(2026, 1, 1, tzinfo=UTC)))
    record_run(store, "slurm-1234")
    elsewhere = store_path / "runs" / "202512" / "slurm-1234"
    elsewhere.mkdir(parents=True)
    for path in journals(store_path):
        genesis_of_another = path.name.replace("1-0-", "1-1-")
        (elsewhere / genesis_of_another).write_bytes(path.read_bytes())
    assert len(list(store.entries("slurm-1234"))) == 6
    assert [run.id for run in store.runs()] == ["slurm-1234"]
    assert store.info()["runs"] == 1


def test_the_host_cannot_name_another_place(store_path: Path) -> None:
    store = open_store(store_path, SystemClock())
    store.begin(process_started(RUN, host="../../é vil/\x00")).close()
    assert [path.name for path in journals(store_path)] == ["1-0-.._..___vil__-1000.jsonl"]
    with pytest.raises(UsageError):
        store.begin(process_started("../../etc"))


def test_a_run_leaves_at_most_three_files_all_private(store_path: Path) -> None:
    previous = os.umask(0)
    try:
        store = open_store(store_path, SystemClock())
        store.put_bytes(b"object")
        journal = store.begin(process_started(RUN))
        journal.tend(heartbeat=True)
        before = [path for path in store_path.rglob("*") if RUN in str(path) and path.is_file()]
        journal.take(RunFinished(state=RunState.COMPLETED, duration_seconds=1.0), AT)
        journal.close()
        store.seal(RUN)
    finally:
        os.umask(previous)
    assert len(before) == 3  # the journal, the marker, the reserve
    after = [path for path in store_path.rglob("*") if RUN in str(path) and path.is_file()]
    # The seal has two names until the ledger has taken it in; it is one file.
    assert sorted(path.name for path in after) == [
        "1-0-host-1-1000.jsonl", f"{RUN}~run.json", "run.json",
    ]  # fmt: skip
    assert len({path.stat().st_ino for path in after}) == 2
    for path in [store_path, *store_path.rglob("*")]:
        assert stat.S_IMODE(path.lstat().st_mode) & 0o033 == 0, path
    assert stat.S_IMODE(store_path.stat().st_mode) == 0o700
    assert (store_path / ".gitignore").read_bytes() == b"*\n"


def test_opening_a_store_writes_nothing(store_path: Path) -> None:
    store = open_store(store_path, SystemClock())
    assert store.runs() == []
    assert store.verify().ok
    assert not store_path.exists()


def test_a_directory_of_the_user_stays_visible_to_git(store_path: Path) -> None:
    store_path.mkdir()
    (store_path / "mine.txt").touch()
    record_run(open_store(store_path, SystemClock()), RUN)
    assert not (store_path / ".gitignore").exists()


def test_a_short_write_is_completed(store_path: Path) -> None:
    disk = FaultyDisk(only=())
    disk.write = lambda fd, data: os.write(fd, bytes(data)[:7])
    store = LocalStore(store_path, SystemClock(), disk)
    record_run(store, RUN, METRIC)
    (path,) = journals(store_path)
    assert all(stated == computed for stated, computed in chains(path, RUN))
    assert [entry.record for entry in store.entries(RUN)][1] == METRIC


def _failing(store_path: Path) -> tuple[FaultyDisk, LocalStore]:
    disk = FaultyDisk(forever=True)
    return disk, LocalStore(store_path, SystemClock(), disk)


def test_after_a_failed_write_a_new_file_first_tells_the_loss(store_path: Path) -> None:
    disk, store = _failing(store_path)
    journal = store.begin(process_started(RUN, attempt=2))
    journal.take(METRIC, AT)
    disk.fail = 1
    for _ in range(7):
        journal.take(METRIC, AT)
    assert journal.lost == 7
    disk.heal()
    journal.flush()
    journal.take(RunFinished(state=RunState.COMPLETED, duration_seconds=1.0), AT)
    journal.close()
    first, second = journals(store_path)
    assert [line["record"]["kind"] for line in lines(first)] == ["process_started", "metrics"]
    assert [line["record"]["kind"] for line in lines(second)] == [
        "process_started",
        "records_lost",
        "run_finished",
    ]
    assert second.stem == f"{first.stem}-1"
    assert lines(second)[1]["record"] == {
        "kind": "records_lost",
        "count": 7,
        "reason": "No space left on device",
    }
    run = store.seal(RUN)
    assert (run.state, run.attempts) == (RunState.COMPLETED, 2)
    assert "7 records lost: No space left on device" in run.recording.problems
    assert store.verify().ok


def test_a_torn_line_is_left_behind_and_passed_over(store_path: Path) -> None:
    store = LocalStore(store_path, SystemClock(), disk := FaultyDisk(only=()))
    journal = store.begin(process_started(RUN))

    def half(fd: int, data: bytes | bytearray | memoryview) -> int:
        os.write(fd, bytes(data)[:20])
        disk.write = os.write
        raise OSError(errno.EIO, "I/O error")

    journal._write = half  # the bound write of the hot path
    journal.take(METRIC, AT)
    journal._write = os.write
    journal.take(METRIC, AT)
    journal.close()
    assert journal.lost == 0
    records = [entry.record for entry in store.entries(RUN)]
    assert records.count(METRIC) == 2
    problems = store.verify().problems
    assert [(problem.kind, problem.severity) for problem in problems] == [("torn_tail", "note")]
    assert problems[0].found == "20 bytes of line 2"
    store.seal(RUN)
    assert store.verify().ok


def test_a_failed_sync_counts_what_may_be_lost_and_leaves_the_file(store_path: Path) -> None:
    disk = FaultyDisk(only=("fdatasync",), code=errno.EIO)
    store = LocalStore(store_path, SystemClock(), disk)
    journal = store.begin(process_started(RUN))
    journal.flush()
    journal.take(METRIC, AT)
    disk.fail = disk.calls + 1
    journal.flush()
    assert journal.lost == 1
    journal.take(METRIC, AT)
    journal.close()
    assert len(journals(store_path)) == 2
    lost = [entry.record for entry in store.entries(RUN) if isinstance(entry.record, RecordsLost)]
    assert [record.count for record in lost] == [1]
    assert "sync failed" in lost[0].reason


def test_a_file_system_that_cannot_sync_is_no_error(store_path: Path) -> None:
    disk = FaultyDisk(1, errno.EINVAL, forever=True, only=("fsync", "fdatasync"))
    store = LocalStore(store_path, SystemClock(), disk)
    store.put_bytes(b"x")
    record_run(store, RUN)
    store.seal(RUN)
    assert store.verify().problems == ()


def test_a_record_without_a_json_form_is_lost_and_told(store_path: Path) -> None:
    store = open_store(store_path, SystemClock())
    journal = store.begin(process_started(RUN))
    journal.take(Params(values={"bad": object()}, source="config"), AT)
    journal.take(METRIC, AT)
    journal.close()
    assert journal.lost == 1
    kinds = [line["record"]["kind"] for line in lines(journals(store_path)[0])]
    assert kinds == ["process_started", "records_lost", "metrics"]
    assert store.verify().problems == ()


def test_a_forked_child_does_not_write_into_its_parents_journal(store_path: Path) -> None:
    store = open_store(store_path, SystemClock())
    journal = store.begin(process_started(RUN))
    child = os.fork()
    if child == 0:
        for _ in range(3):
            journal.take(METRIC, AT)
        journal.flush()
        journal.close()
        own = store.begin(process_started(RUN, rank=1))
        own.take(METRIC, AT)
        own.close()
        os._exit(journal.lost)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 3
    assert store.run(RUN).state is RunState.RUNNING
    journal.take(METRIC, AT)
    journal.close()
    assert journal.lost == 0
    assert [len(lines(path)) for path in journals(store_path)] == [2, 2]
    assert store.verify().problems == ()


def test_a_fork_while_another_thread_writes_does_not_hang_the_child(store_path: Path) -> None:
    store = open_store(store_path, SystemClock())
    journal = store.begin(process_started(RUN))
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            journal.take(METRIC, AT)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                journal.take(METRIC, AT)
                os._exit(0 if journal.lost == 1 else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        writer.join()
    journal.close()
    assert store.verify().problems == ()


class _Alarm:
    """Calls `action` from a signal handler, once for each `arm`, at any bytecode of this thread.

    But not in callbacks of the garbage collector, which swallow what is raised.
    """

    def __init__(self, action: Callable[[], None]) -> None:
        self.rang = 0
        self._action = action

    def arm(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 1e-3))

    def __enter__(self) -> Self:
        gc.disable()
        self._previous = signal.signal(signal.SIGALRM, self._ring)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._previous)
        gc.enable()

    def _ring(self, number: int, frame: FrameType | None) -> None:
        self.rang += 1
        self._action()


def test_a_signal_handler_may_record(store_path: Path) -> None:
    store = open_store(store_path, SystemClock())
    journal = store.begin(process_started(RUN))

    def action() -> None:
        journal.take(Metrics(values={"handled": 1}, step=None), AT)
        journal.flush()

    taken = 0
    with _Alarm(action) as alarm:
        for count in range(1, 201):
            alarm.arm()
            while alarm.rang < count:
                journal.take(METRIC, AT)
                taken += 1
    journal.close()
    records = [entry.record for entry in store.entries(RUN)]
    assert records.count(METRIC) == taken
    assert len(records) == 1 + taken + 200
    assert store.verify().problems == ()


def test_an_interrupt_in_the_middle_breaks_no_chain(store_path: Path) -> None:
    store = open_store(store_path, SystemClock())
    journal = store.begin(process_started(RUN))
    acknowledged = 0

    def interrupt() -> None:
        raise KeyboardInterrupt

    with _Alarm(interrupt) as alarm:
        for count in range(1, 201):
            try:
                alarm.arm()
                while alarm.rang < count:
                    journal.take(METRIC, AT)
                    acknowledged += 1
            except KeyboardInterrupt:
                continue
    journal.close()
    assert journal.lost == 0
    written = [entry.record for entry in store.entries(RUN)].count(METRIC)
    assert acknowledged <= written <= acknowledged + 200
    assert store.verify().problems == ()


class _SlowDisk(Disk):
    """Holds up each write, once asked to, until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.is_slow = False
        self.writing, self.may_go_on = threading.Event(), threading.Event()
        self.write = self._held_up

    def _held_up(self, fd: int, data: bytes | bytearray | memoryview) -> int:
        if self.is_slow:
            self.writing.set()
            assert self.may_go_on.wait(60)
        return os.write(fd, data)


def _take_when_armed(alarm: _Alarm, journal: Records) -> None:
    alarm.arm()
    journal.take(METRIC, AT)


def test_an_interrupt_while_another_thread_writes_leaves_the_journal_to_it(
    store_path: Path,
) -> None:
    disk = _SlowDisk()
    store = LocalStore(store_path, SystemClock(), disk)
    journal = store.begin(process_started(RUN))

    def interrupt() -> None:
        raise KeyboardInterrupt

    disk.is_slow = True
    other = threading.Thread(target=lambda: journal.take(METRIC, AT))
    other.start()
    assert disk.writing.wait(60)
    with _Alarm(interrupt) as alarm, pytest.raises(KeyboardInterrupt):
        _take_when_armed(alarm, journal)
    disk.may_go_on.set()
    other.join()
    journal.take(METRIC, AT)
    journal.close()
    assert [entry.record for entry in store.entries(RUN)].count(METRIC) == 2
    assert store.verify().problems == ()


class _InterruptedDisk(Disk):
    """Does something in the middle of a write, once, as a signal handler does."""

    def __init__(self) -> None:
        super().__init__()
        self.action: Callable[[], None] | None = None
        self.write = self._interrupted

    def _interrupted(self, fd: int, data: bytes | bytearray | memoryview) -> int:
        written = os.write(fd, data)
        action, self.action = self.action, None
        if action is not None:
            action()
        return written


@pytest.mark.timeout(60)
@pytest.mark.parametrize("ends", [False, True])
def test_a_signal_handler_does_not_wait_for_who_waits_for_the_interrupted_call(
    store_path: Path, ends: bool
) -> None:
    disk = _InterruptedDisk()
    store = LocalStore(store_path, SystemClock(), disk)
    journal = store.begin(process_started(RUN))
    other = threading.Thread(target=journal.flush)

    def handle() -> None:
        other.start()
        time.sleep(0.2)  # it is syncing now, and waits for this very call
        journal.take(METRIC, AT)
        if ends:
            journal.close()
        else:
            journal.flush()

    disk.action = handle
    journal.take(METRIC, AT)
    other.join()
    journal.close()
    assert [entry.record for entry in store.entries(RUN)].count(METRIC) == 2
    assert journal.lost == 0
    assert store.verify().problems == ()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("ends", [False, True])
def test_nor_where_that_call_has_the_lock_and_has_not_begun(store_path: Path, ends: bool) -> None:
    store = open_store(store_path, SystemClock())
    assert isinstance(store, LocalStore)
    journal = store.begin(process_started(RUN))
    assert isinstance(journal, Journal)
    journal.take(METRIC, AT)
    other = threading.Thread(target=journal.flush)
    with journal._lock:  # a signal is handled as soon as a lock is had
        other.start()
        time.sleep(0.2)
        journal.take(METRIC, AT)
        if ends:
            journal.close()
        else:
            journal.flush()
    other.join()
    journal.close()
    assert [entry.record for entry in store.entries(RUN)].count(METRIC) == 2
    assert store.verify().problems == ()


@pytest.fixture
def flushed(store_path: Path) -> Iterator[LocalStore]:
    store = open_store(store_path, SystemClock())
    journal = store.begin(process_started(RUN))
    yield store
    journal.close()


def test_the_background_thread_makes_the_reserve_and_syncs(
    flushed: LocalStore, store_path: Path
) -> None:
    deadline = time.monotonic() + 20
    while not list(store_path.glob("open/*.reserve")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (reserve,) = store_path.glob("open/*.reserve")
    assert reserve.stat().st_size == 64 * 1024
