"""One path from a store to a mirror: order, counts, and what a bad mirror costs."""

import threading
import time
from collections.abc import Callable
from datetime import datetime

import pytest
from mirroring.list_mirror import ListMirror
from mirroring.making_runs import (
    RUN_ID,
    at,
    begin,
    end,
    keep,
    logged,
    loss,
    process,
    record_run,
    started,
)

from instrument.errors import NotFoundError
from instrument.mirroring import feed, tail
from instrument.protocols import Objects, Versions
from instrument.records import Metrics, ProcessFinished, Record, RunStarted
from instrument.summary import RunSummary
from instrument.testing.memory import MemoryBackend


class Picky(ListMirror):
    """Refuses every second metric."""

    def take(self, record: Record, at: datetime) -> None:
        if isinstance(record, Metrics) and (record.step or 0) % 2:
            raise ValueError(f"step {record.step}\nis odd")
        super().take(record, at)


class Shut(ListMirror):
    def begin(self, run: RunSummary, objects: Objects, versions: Versions) -> "ListMirror":
        raise ConnectionError("nobody there")


class Unfinished(ListMirror):
    def close(self) -> None:
        raise TimeoutError("no answer")


class Leaky(ListMirror):
    def close(self) -> None:
        self.lost = 3


def test_records_arrive_in_order_with_their_time_and_are_counted() -> None:
    store, mirror = MemoryBackend(), ListMirror()
    version = keep(store, "model", "model", {"weights": b"abc"})
    record_run(store, loss(0.5, 0), logged(version), loss(0.25, 1), logged(version))

    report = feed(store, mirror, RUN_ID, name="list", follow=False)

    assert [type(record).__name__ for record, _ in mirror.taken] == [
        "ProcessStarted",
        "RunStarted",
        "Metrics",
        "ArtifactLogged",
        "Metrics",
        "ArtifactLogged",
        "RunFinished",
        "ProcessFinished",
    ]
    assert mirror.taken[2][1] == at(1)
    assert mirror.run is not None
    assert mirror.run.name == "baseline"
    assert mirror.closed == 1
    assert (report.run_id, report.mirror) == (RUN_ID, "list")
    assert (report.records, report.artifacts, report.complete) == (8, 1, True)
    assert report.problems == ()
    assert report.skipped is None


def test_journals_are_merged_by_time_each_in_its_own_order() -> None:
    store, mirror = MemoryBackend(), ListMirror()
    first, second = store.begin(process(rank=0)), store.begin(process(rank=1))
    first.take(started(), at(0))
    for second_, value in ((10, 1.0), (30, 3.0), (20, 4.0)):  # a clock that was set back
        first.take(loss(value, None), at(second_))
    for second_, value in ((15, 2.0), (40, 5.0)):
        second.take(loss(value, None), at(second_))
    end(first)

    feed(store, mirror, RUN_ID, follow=False)

    assert mirror.losses() == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_what_a_mirror_refuses_is_told_and_the_rest_arrives() -> None:
    store, mirror = MemoryBackend(), Picky()
    record_run(store, *(loss(float(step), step) for step in range(100)))

    report = feed(store, mirror, RUN_ID, follow=False)

    assert mirror.losses() == [float(step) for step in range(0, 100, 2)]
    assert mirror.closed == 1
    assert not report.complete
    assert report.records == 54
    assert report.problems[0].endswith(": ValueError: step 1 is odd")
    assert len(report.problems) == 21
    assert report.problems[-1] == "30 more records were refused"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (Shut, "the mirror could not begin: ConnectionError: nobody there"),
        (Unfinished, "the mirror could not finish: TimeoutError: no answer"),
        (Leaky, "the mirror lost 3 records"),
    ],
)
def test_a_mirror_that_fails_is_not_complete(make: Callable[[], ListMirror], told: str) -> None:
    store = MemoryBackend()
    record_run(store, loss(1.0, 0))

    report = feed(store, make(), RUN_ID, follow=False)

    assert not report.complete
    assert report.problems == (told,)


def test_an_unknown_run_is_an_error() -> None:
    with pytest.raises(NotFoundError):
        feed(MemoryBackend(), ListMirror(), "nosuchrun", follow=False)


def test_a_run_without_a_start_record_is_mirrored_too() -> None:
    store, mirror = MemoryBackend(), ListMirror()
    store.begin(process()).take(loss(1.0, 0), at(1))

    report = feed(store, mirror, RUN_ID, follow=False)

    assert report.complete
    assert mirror.losses() == [1.0]


def eventually(condition: Callable[[], bool]) -> None:
    while not condition():  # the suite's own time limit ends a test that hangs
        time.sleep(0.01)


def test_following_delivers_as_it_comes_and_ends_with_the_run() -> None:
    store, mirror = MemoryBackend(), ListMirror()
    records = store.begin(process())
    reports = []
    thread = threading.Thread(
        target=lambda: reports.append(feed(store, mirror, RUN_ID, follow=True, poll_seconds=0.01))
    )
    thread.start()

    assert mirror.run is None  # a run without its name yet is not begun in the mirror
    records.take(started(), at(0))
    eventually(lambda: any(isinstance(record, RunStarted) for record, _ in mirror.taken))
    records.take(loss(1.0, 0), at(1))
    eventually(lambda: mirror.losses() == [1.0])
    assert mirror.closed == 0
    records.take(loss(2.0, 1), at(2))
    end(records)
    thread.join()

    assert mirror.losses() == [1.0, 2.0]
    assert isinstance(mirror.taken[-1][0], ProcessFinished)
    assert mirror.closed == 1
    assert reports[0].complete


def test_following_waits_for_the_other_processes_of_a_finished_run() -> None:
    store, mirror = MemoryBackend(), ListMirror()
    owner, other = begin(store), store.begin(process(rank=1))
    end(owner)
    thread = threading.Thread(
        target=lambda: feed(store, mirror, RUN_ID, follow=True, poll_seconds=0.01)
    )
    thread.start()
    eventually(lambda: bool(mirror.taken))
    other.take(loss(7.0, 0), at(2000))
    other.take(ProcessFinished(lost=0, overhead={}), at(2001))
    thread.join()

    assert mirror.losses() == [7.0]


def test_following_ends_when_a_dead_run_says_nothing_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tail, "GRACE_SECONDS", 0.05)
    store, mirror = MemoryBackend(), ListMirror()
    records = begin(store)
    records.close()  # what MemoryBackend takes for a dead owner

    report = feed(store, mirror, RUN_ID, follow=True, poll_seconds=0.01)

    assert report.complete
    assert mirror.closed == 1
