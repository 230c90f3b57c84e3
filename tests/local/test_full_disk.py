"""A disk that is really full: the run goes on, the loss is counted and told, nothing is damaged."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from faults.small_disk import in_memory

from instrument.clock import SystemClock
from instrument.errors import StoreError
from instrument.records import Metrics, ProcessFinished, RunFinished
from instrument.testing.samples import AT, draft, process_started, record_run
from instrument.vocabulary import RunState
from instrument_local import open_store
from instrument_local.journal import Journal

RUN = "20260304-050607-0123456789ab"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KiB."""
    with in_memory(tmp_path / "small", "400k") as place:
        yield place


def _fill(place: Path) -> Path:
    """Use every last byte."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(b"\0" * 1024)
    return filler


def _take_metrics(journal: Journal, first: int, count: int) -> None:
    for step in range(first, first + count):
        journal.take(Metrics(values={"loss": 0.5}, step=step), AT)


def _end(journal: Journal) -> None:
    journal.take(RunFinished(state=RunState.COMPLETED, duration_seconds=1.0), AT)
    journal.take(ProcessFinished(lost=journal.lost, overhead={}), AT)
    journal.close()


def test_a_run_goes_on_and_its_end_is_told_from_the_reserve(small_disk: Path) -> None:
    store = open_store(small_disk / "store", SystemClock())
    journal = store.begin(process_started(RUN))
    journal.tend(heartbeat=False)  # as the background thread does within a second
    _take_metrics(journal, 0, 100)
    _fill(small_disk)
    _take_metrics(journal, 100, 5000)
    assert journal.lost > 4000
    _end(journal)
    run = store.run(RUN)
    assert run.state is RunState.COMPLETED
    assert not run.recording.complete
    told = f"{journal.lost} records lost: No space left on device"
    assert told in run.recording.problems
    steps = [entry.record.step for entry in store.entries(RUN) if isinstance(entry.record, Metrics)]
    assert steps == list(range(5100 - journal.lost))
    assert store.verify().ok
    assert [found.state for found in store.runs()] == [RunState.COMPLETED]


def test_what_cannot_be_stored_says_so_and_leaves_nothing(small_disk: Path, tmp_path: Path) -> None:
    store = open_store(small_disk / "store", SystemClock())
    store.put_bytes(b"kept")
    source = tmp_path / "big"
    source.write_bytes(b"b" * 1_000_000)
    many = [tmp_path / f"{number}" for number in range(4)]
    for number, path in enumerate(many):
        path.write_bytes(bytes([number]) * 200_000)
    full = rf"No space left on device \({small_disk}/store/tmp/"
    for _ in range(2):
        with pytest.raises(StoreError, match=full):
            store.put_file(source)
        with pytest.raises(StoreError, match=full):
            store.put_files(many)
        with pytest.raises(StoreError, match=full):
            store.put_bytes(b"b" * 1_000_000)
        assert list((small_disk / "store" / "tmp").iterdir()) == []
    record_run(store, RUN)
    _fill(small_disk)
    with pytest.raises(StoreError, match="cannot seal run"):
        store.seal(RUN)
    with pytest.raises(StoreError, match=rf"cannot store a version.*\({small_disk}/store/"):
        store.claim(draft("model", b"kept"))
    assert store.run(RUN).state is RunState.COMPLETED
    result = store.verify()
    assert (result.ok, result.objects) == (True, 1)


def test_space_that_comes_back_is_used(small_disk: Path) -> None:
    store = open_store(small_disk / "store", SystemClock())
    journal = store.begin(process_started(RUN))
    taken = 0
    for _ in range(5):
        _take_metrics(journal, taken, 50)
        filler = _fill(small_disk)
        _take_metrics(journal, taken + 50, 500)
        taken += 550
        filler.unlink()
        journal.flush()
    _end(journal)
    entries = list(store.entries(RUN))
    steps = [entry.record.step for entry in entries if isinstance(entry.record, Metrics)]
    assert len(steps) == len(set(steps)) == taken - journal.lost
    assert journal.lost > 0
    run = store.seal(RUN)
    counts = [int(line.split()[0]) for line in run.recording.problems if "records lost" in line]
    assert sum(counts) == journal.lost
    assert store.verify().ok


def test_a_run_of_which_nothing_was_written_is_counted_by_nobody(small_disk: Path) -> None:
    store = open_store(small_disk / "store", SystemClock())
    record_run(store, RUN)
    (small_disk / "store/runs/202603/20260304-050608-0123456789ab").mkdir()
    assert len(store.runs()) == store.verify().runs == 1


def test_a_run_that_begins_on_a_full_disk_goes_on_unrecorded(small_disk: Path) -> None:
    store = open_store(small_disk / "store", SystemClock())
    filler = _fill(small_disk)
    journal = store.begin(process_started(RUN))
    _take_metrics(journal, 0, 10)
    assert journal.lost == 11
    filler.unlink()
    journal.flush()
    assert journal.lost == 10
    _end(journal)
    assert store.run(RUN).state is RunState.COMPLETED
