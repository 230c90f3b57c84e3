"""Every call to the disk fails, once and forever, in every operation: nothing is lost unseen."""

import errno
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from local.faulty_disk import CALLS, FaultyDisk

from instrument.clock import SystemClock
from instrument.errors import NotFoundError, StoreError
from instrument.naming import parse_reference
from instrument.records import Entry, Metrics, RunFinished
from instrument.testing.samples import AT, draft, process_started
from instrument.vocabulary import RunState
from instrument_local import LocalStore, open_store

RUN = "20260304-050607-0123456789ab"
MAX_CALLS = 300
CODES = (errno.ENOSPC, errno.EIO)
EVERY = [5, pytest.param(1, marks=pytest.mark.slow)]


def _record(store: LocalStore) -> int:
    """Record a run with ten metrics; how many records were lost."""
    journal = store.begin(process_started(RUN))
    for step in range(10):
        journal.take(Metrics(values={"loss": step}, step=step), AT)
        if step == 5:
            journal.flush()
    journal.take(RunFinished(state=RunState.COMPLETED, duration_seconds=1.0), AT)
    journal.close()
    return journal.lost


def _faults(path: Path, code: int, every: int, *, forever: bool) -> list[tuple[Path, FaultyDisk]]:
    return [
        (path / f"store-{number}", FaultyDisk(number, code, forever=forever))
        for number in range(1, MAX_CALLS, every)
    ]


def _entries(store: LocalStore) -> list[Entry]:
    try:
        return list(store.entries(RUN))
    except NotFoundError:
        return []


@pytest.mark.faults
@pytest.mark.parametrize("forever", [False, True])
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("every", EVERY)
def test_recording_never_raises_and_counts_every_loss(
    tmp_path: Path, code: int, forever: bool, every: int
) -> None:
    for path, disk in _faults(tmp_path, code, every, forever=forever):
        lost = _record(LocalStore(path, SystemClock(), disk))
        if disk.calls < disk.fail:
            assert lost == 0
            return
        store = open_store(path, SystemClock())
        assert store.verify().ok, disk.fail
        entries = _entries(store)
        steps = {entry.record.step for entry in entries if isinstance(entry.record, Metrics)}
        finished = any(isinstance(entry.record, RunFinished) for entry in entries)
        # A record may be written and counted all the same, when its sync failed; never neither.
        assert len(steps) + finished + lost >= 11, disk.fail
        if lost == 0:
            assert store.run(RUN).state is RunState.COMPLETED
    pytest.fail(f"the operation makes more than {MAX_CALLS} calls")


def _put(store: LocalStore) -> None:
    assert store.put_bytes(b"some bytes")


def _put_file(store: LocalStore) -> None:
    source = Path(store.location).with_name("source.bin")
    source.write_bytes(b"f" * 100_000)
    assert store.put_file(source).size_bytes == 100_000


def _put_files(store: LocalStore) -> None:
    sources = [Path(store.location).with_name(f"{number}.bin") for number in range(4)]
    for number, source in enumerate(sources):
        source.write_bytes(b"%d" % (number // 2))
    assert [file.path for file in store.put_files(sources)] == [path.name for path in sources]


def _claim(store: LocalStore) -> None:
    for content in (b"a", b"b", b"a"):
        store.put_bytes(content)
        store.claim(draft("model", content))
    store.tag(parse_reference("model:v2"), "best", AT)


def _seal(store: LocalStore) -> None:
    _record(store)
    store.seal(RUN)


@pytest.mark.faults
@pytest.mark.parametrize("forever", [False, True])
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("operation", [_put, _put_file, _put_files, _claim, _seal])
@pytest.mark.parametrize("every", EVERY)
def test_what_fails_says_so_leaves_the_store_whole_and_works_the_next_time(
    tmp_path: Path,
    operation: Callable[[LocalStore], None],
    code: int,
    forever: bool,
    every: int,
) -> None:
    for path, disk in _faults(tmp_path, code, every, forever=forever):
        with suppress(StoreError):
            operation(LocalStore(path, SystemClock(), disk))
        if disk.calls < disk.fail:
            return
        store = open_store(path, SystemClock())
        assert store.verify().ok, disk.fail
        operation(store)
        result = store.verify()
        assert result.ok, (disk.fail, result.problems)
        if operation is _claim:
            refs = [version.ref for version in store.artifacts("model")]
            assert refs == ["model:v1", "model:v2"]
            assert store.resolve(parse_reference("model:best")).version == 2
            assert store.resolve(parse_reference("model:latest")).version == 1
    pytest.fail(f"the operation makes more than {MAX_CALLS} calls")


def test_which_side_of_a_copy_failed_is_told_or_both_are_named(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"weights")
    in_store = f"{tmp_path}/store/tmp/"
    for call, code, place in (
        ("write", errno.ENOSPC, f"({in_store}"),
        ("write", errno.EIO, f"({source} or {in_store}"),
        ("fsync", errno.EIO, f"({in_store}"),
    ):
        disk = FaultyDisk(1, code, forever=True, only=(call,))
        open_store(tmp_path / "store", SystemClock()).put_bytes(b"kept")
        with pytest.raises(StoreError, match=re.escape(place)):
            LocalStore(tmp_path / "store", SystemClock(), disk).put_file(source)


def test_without_hard_links_files_are_renamed_into_place(tmp_path: Path) -> None:
    disk = FaultyDisk(1, errno.EPERM, forever=True, only=("link",))
    store = LocalStore(tmp_path / "store", SystemClock(), disk)
    _claim(store)
    _seal(store)
    assert disk.calls > 5
    assert store.verify().problems == ()
    assert [version.ref for version in store.artifacts()] == ["model:v1", "model:v2"]


def test_a_link_that_fails_after_it_succeeded_is_believed_by_its_result(tmp_path: Path) -> None:
    disk = FaultyDisk(only=())
    link = disk.link

    def retransmitted(source: Path, target: Path) -> None:
        link(source, target)
        raise FileExistsError(errno.EEXIST, "as a network file system says to a repeated call")

    disk.link = retransmitted
    store = LocalStore(tmp_path / "store", SystemClock(), disk)
    _claim(store)
    assert [version.ref for version in store.artifacts()] == ["model:v1", "model:v2"]


def test_the_faults_cover_every_call_that_is_made(tmp_path: Path) -> None:
    made = set()
    for name in CALLS:
        disk = FaultyDisk(only=(name,))
        store = LocalStore(tmp_path / name, SystemClock(), disk)
        _claim(store)
        _seal(store)
        if disk.calls:
            made.add(name)
    assert made == set(CALLS) - {"rename"}
