"""Who still records: by process where it can be seen, by heartbeat where it cannot."""

import os
import platform
import time
from pathlib import Path
from typing import Any

import pytest
from local import writer

from instrument.clock import SystemClock
from instrument.testing.samples import process_started
from instrument.vocabulary import RunState
from instrument_local import LocalStore, open_store
from instrument_local.liveness import STALE_SECONDS

RUN = "20260304-050607-0123456789ab"


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    return open_store(store_path, SystemClock())


def _own(**changes: Any) -> dict[str, Any]:
    own = writer.this_process(RUN)
    values = {
        "host": own.host,
        "boot_id": own.boot_id,
        "pid": own.pid,
        "process_start": own.process_start,
    }
    return values | changes


def _state_with_heartbeat(store: LocalStore, age_seconds: float) -> RunState:
    (marker,) = Path(store.location).glob("open/*.json")
    moment = time.time() - age_seconds
    os.utime(marker, (moment, moment))
    return store.run(RUN).state


LONG_AGO = 10 * STALE_SECONDS


@pytest.mark.parametrize(
    ("changes", "fresh", "stale"),
    [
        ({}, RunState.RUNNING, RunState.RUNNING),  # seen to live: the heartbeat says nothing
        ({"process_start": 1}, RunState.INTERRUPTED, RunState.INTERRUPTED),  # the id was reused
        ({"pid": 2**22 + 1}, RunState.INTERRUPTED, RunState.INTERRUPTED),
        ({"process_start": None}, RunState.RUNNING, RunState.RUNNING),
        ({"boot_id": "another"}, RunState.INTERRUPTED, RunState.INTERRUPTED),  # it was rebooted
        ({"boot_id": "another", "host": "elsewhere"}, RunState.RUNNING, RunState.INTERRUPTED),
        ({"boot_id": None}, RunState.RUNNING, RunState.INTERRUPTED),
    ],
)
def test_a_process_that_is_seen_is_believed_and_others_by_their_heartbeat(
    store: LocalStore, changes: dict[str, Any], fresh: RunState, stale: RunState
) -> None:
    journal = store.begin(process_started(RUN, **_own(**changes)))
    assert _state_with_heartbeat(store, 0) is fresh
    assert _state_with_heartbeat(store, LONG_AGO) is stale
    journal.tend(heartbeat=True)
    assert store.run(RUN).state is fresh
    journal.close()
    assert store.run(RUN).state is RunState.INTERRUPTED


def test_a_process_in_another_container_is_believed_by_its_heartbeat(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("instrument_local.liveness._own_namespace", lambda: "pid:[42]")
        journal = store.begin(process_started(RUN, **_own(pid=2**22 + 1)))
    assert _state_with_heartbeat(store, 0) is RunState.RUNNING
    assert _state_with_heartbeat(store, LONG_AGO) is RunState.INTERRUPTED
    journal.close()


def test_a_heartbeat_is_fresh_by_the_clock_of_the_server(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = store.begin(process_started(RUN))
    monkeypatch.setattr(time, "time", lambda: 0.0)  # our own clock is far behind
    assert store.run(RUN).state is RunState.RUNNING
    monkeypatch.setattr(time, "time", lambda: 1e12)  # or far ahead
    assert store.run(RUN).state is RunState.RUNNING
    monkeypatch.undo()
    journal.close()


def test_garbage_in_a_marker_harms_nobody(store: LocalStore) -> None:
    journal = store.begin(process_started(RUN))
    (marker,) = Path(store.location).glob("open/*.json")
    for garbage in (b"", b"\xff", b'{"run_id":1}', b"[" * 100_000):
        marker.write_bytes(garbage)
        assert _state_with_heartbeat(store, 0) is RunState.RUNNING
        assert _state_with_heartbeat(store, LONG_AGO) is RunState.INTERRUPTED
        assert len(store.runs()) == 1
        assert [problem.kind for problem in store.verify().problems] == ["marker_damaged"]
        assert store.verify().ok
    journal.close()


def test_sealing_drops_the_markers_of_the_dead_and_of_no_one_else(store: LocalStore) -> None:
    dead = store.begin(process_started(RUN, **_own(pid=2**22 + 1)))
    living = store.begin(process_started(RUN, rank=1, **_own()))
    dead.tend(heartbeat=False)
    store.seal(RUN)
    names = [path.name for path in Path(store.location).glob("open/*")]
    assert len(names) == 1
    assert store.run(RUN).state is RunState.RUNNING
    for journal in (living, dead):
        journal.close()
    assert list(Path(store.location).glob("open/*")) == []


def test_this_host_has_what_the_markers_rest_on() -> None:
    assert platform.node() == os.uname().nodename
    assert Path("/proc/self/ns/pid").is_symlink()
