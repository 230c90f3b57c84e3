"""Events get into the ledger once, whatever fails on the way."""

import errno
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ledger.making import RUNS, add_run, filled, forget, kinds, store_at, verify
from local.faulty_disk import FaultyDisk

from instrument.audit import AliasMoved, GapFound, RunSealed, UnknownEvent
from instrument.clock import SystemClock
from instrument.errors import IntegrityError, StoreError
from instrument_local.files import Disk
from instrument_local.layout import Layout
from instrument_local.ledger import log as ledger_log, queue
from instrument_local.ledger.log import Log
from instrument_local.maintenance import maintenance
from instrument_local.stamps import stamp


def _events(path: Path) -> list[str]:
    found = []
    for entry in store_at(path).ledger.entries():
        assert entry.index is not None
        event = entry.event
        found.append(event.run_id if isinstance(event, RunSealed) else type(event).__name__)
    return found


def _gaps(path: Path) -> list[tuple[str, ...]]:
    found = (entry.event for entry in store_at(path).ledger.entries())
    return [event.runs for event in found if isinstance(event, GapFound)]


def test_a_sealed_run_and_a_tag_stand_in_the_ledger_with_who_and_when(store_path: Path) -> None:
    store = filled(store_path)
    assert [entry.index for entry in store.ledger.entries()] == [None, None, None]
    assert store.ledger.integrate() == 3
    assert store.ledger.integrate() == 0
    assert not list((store_path / "ledger/pending").iterdir())
    first, second, moved = sorted(
        (entry.event for entry in store.ledger.entries()), key=lambda e: isinstance(e, AliasMoved)
    )
    assert isinstance(first, RunSealed)
    assert isinstance(second, RunSealed)
    assert (first.run_id, second.run_id) == RUNS
    assert isinstance(moved, AliasMoved)
    assert (moved.name, moved.alias, moved.version, moved.before) == ("model", "best", 1, None)
    assert first.who.uid == store_path.stat().st_uid


def test_a_seal_waits_under_a_second_name_and_nothing_else_is_written(store_path: Path) -> None:
    store = filled(store_path)
    (seal,) = store_path.glob(f"runs/*/{RUNS[0]}/run.json")
    waiting = store_path / f"ledger/pending/{RUNS[0]}~run.json"
    assert waiting.samefile(seal)
    assert not (store_path / "ledger/entries").exists()
    assert verify(store).size == 3


def test_a_crash_at_any_step_loses_nothing_and_enters_nothing_twice(
    store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_log, "WIDTH", 2)  # more than one block
    monkeypatch.setattr("instrument_local.ledger.integrate.WIDTH", 2)
    monkeypatch.setattr("instrument_local.ledger.check.WIDTH", 2)
    filled(store_path)
    good = tmp_path / "good"
    shutil.copytree(store_path, good)
    assert store_at(good).ledger.integrate() == 3
    expected = sorted(_events(good))
    step = 0
    while True:
        step += 1
        crashed = tmp_path / f"crashed-{step}"
        shutil.copytree(store_path, crashed)
        disk = FaultyDisk(step, errno.EIO, forever=True)
        with suppress(StoreError):
            store_at(crashed, disk).ledger.integrate()
        if disk.calls < step:
            break
        shutil.rmtree(crashed / "maintenance", ignore_errors=True)  # the holder died, we did not
        forget(store_path)  # each copy is a store of its own past
        left = tmp_path / "left"
        shutil.copytree(crashed, left)
        assert kinds(verify(store_at(left))) == set(), step  # what a crash leaves is no damage
        assert sorted(_events(left)) == expected, step
        shutil.rmtree(left)
        forget(store_path)
        add_run(store_at(crashed), "20260304-050609-000000000003")
        result = verify(store_at(crashed))
        assert (result.problems, result.size, result.pending) == ((), 4, 0), step
        assert len(set(_events(crashed))) == 4, step
        shutil.rmtree(crashed)
    assert step > 20


def test_a_crash_between_entries_and_their_head_is_a_note(store_path: Path) -> None:
    store = filled(store_path)
    store.ledger.integrate()
    add_run(store, "20260304-050609-000000000003")
    disk = FaultyDisk(3, errno.EIO, forever=True, only=("link",))  # lock, entries, head
    with pytest.raises(StoreError):
        store_at(store_path, disk).ledger.integrate()
    with maintenance(Layout(store_path, SystemClock(), Disk()), "something else"):
        result = verify(store)
    assert kinds(result) == {"ledger_unfinished"}
    assert result.verdict == "incomplete"
    assert verify(store).problems == ()


def test_blocks_fill_up_and_are_never_changed(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_log, "WIDTH", 4)
    layout = Layout(store_path, SystemClock(), Disk())
    layout.create()
    log = Log(layout)
    lines = [b"entry %d" % number for number in range(23)]
    seen: dict[str, bytes] = {}
    for start, end in ((0, 1), (1, 3), (3, 9), (9, 9), (9, 16), (16, 23)):
        log.append(lines[start:end])
        for block in log.blocks():
            data = block.path.read_bytes()
            assert seen.setdefault(block.path.name, data) == data
    assert [line for part in log.read() for line in part] == lines
    assert [line for part in log.read(6, 11) for line in part] == lines[6:11]
    assert [block.length for block in log.blocks()] == [4, 4, 4, 4, 4, 3]
    assert len(log.head_paths()) == 1
    whole = Layout(store_path.with_name("whole"), SystemClock(), Disk())
    whole.create()
    assert Log(whole).append(lines).root() == log.tree().root()


def test_a_seal_that_never_got_onto_the_list_is_found(store_path: Path) -> None:
    store = filled(store_path)
    for waiting in (store_path / "ledger/pending").glob("*run.json"):
        waiting.unlink()
    assert store.ledger.integrate() == 4
    assert set(RUNS) < set(_events(store_path))
    assert _gaps(store_path) == [RUNS]


def test_without_hard_links_seals_get_there_all_the_same(store_path: Path) -> None:
    class NoLinks(Disk):
        def __init__(self) -> None:
            super().__init__()
            self.link = self._refuse

        def _refuse(self, source: Path, target: Path) -> None:
            raise OSError(errno.EPERM, "no hard links here")

    store = store_at(store_path, NoLinks())
    for run_id in RUNS:
        add_run(store, run_id)
    assert len(list((store_path / "ledger/pending").iterdir())) == len(RUNS)
    assert verify(store).verdict == "ok-unanchored"
    assert sorted(_events(store_path)) == list(RUNS)  # and no gap


def test_packed_runs_are_checked_too(store_path: Path) -> None:
    store = filled(store_path)
    store.pack(everything=True)
    result = verify(store)
    assert result.problems == ()
    assert {event for event in _events(store_path) if event in RUNS} == set(RUNS)


def test_when_many_wait_the_next_seal_takes_them_in(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "MANY", 3)
    filled(store_path)
    assert not (store_path / "ledger/entries").exists()
    add_run(store_at(store_path), "20260304-050609-000000000003")
    assert len(_events(store_path)) == 4


def test_T55_a_ledger_that_cannot_be_written_costs_no_run(  # noqa: N802 - its id
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "MANY", 1)
    store = store_at(store_path)
    store.put_bytes(b"")
    (store_path / "ledger").write_bytes(b"in the way")
    for run_id in RUNS:
        add_run(store, run_id)
    assert {run.id for run in store.runs()} == set(RUNS)
    with pytest.raises(StoreError):
        store.ledger.integrate()
    (store_path / "ledger").unlink()
    assert verify(store).size == 3  # closed from the seals, and told
    assert verify(store).verdict == "ok"
    assert _gaps(store_path) == [RUNS]
    add_run(store, "20260304-050609-000000000003")
    assert verify(store).size == 4
    assert _gaps(store_path) == [RUNS]


def test_T55_the_gap_is_on_the_disk_before_what_would_close_it(store_path: Path) -> None:  # noqa: N802
    late = "20260304-050609-000000000003"
    store = filled(store_path)
    store.ledger.integrate()
    add_run(store, late)
    (store_path / f"ledger/pending/{late}~run.json").unlink()
    for step in range(1, 100):
        with suppress(StoreError):
            store_at(store_path, FaultyDisk(step, errno.EIO, forever=True)).ledger.integrate()
        shutil.rmtree(store_path / "maintenance", ignore_errors=True)
        events = [entry.event for entry in store.ledger.entries()]
        if any(isinstance(event, RunSealed) and event.run_id == late for event in events):
            break
    assert step > 3
    assert set(_gaps(store_path)) == {(late,)}


def test_what_is_sealed_just_now_is_no_gap(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(store_path)
    entry = store_path / "ledger/pending" / f"{RUNS[0]}~run.json"
    entry.rename(store_path / "aside")
    monkeypatch.setattr(
        "instrument_local.ledger.integrate.time.sleep",
        lambda _: (store_path / "aside").rename(entry),
    )
    assert store.ledger.integrate() == 3
    assert _gaps(store_path) == []


def test_nothing_is_added_to_a_ledger_that_was_changed(store_path: Path) -> None:
    store = filled(store_path)
    store.ledger.integrate()
    (block,) = (store_path / "ledger/entries").iterdir()
    block.write_bytes(block.read_bytes().replace(b'"uid":', b'"uid":1', 1))
    add_run(store, "20260304-050609-000000000003")
    with pytest.raises(IntegrityError, match="are not what the head says"):
        store.ledger.integrate()
    layout = Layout(store_path, SystemClock(), Disk())
    from instrument_local.ledger.integrate import integrate

    with (
        maintenance(layout, "test") as held,
        pytest.raises(IntegrityError, match="not what the head says"),
    ):
        integrate(layout, held)
    assert len(list((store_path / "ledger/pending").iterdir())) == 1
    assert "ledger_entry_changed" in kinds(verify(store))


@pytest.mark.parametrize(
    ("event", "name"),
    [({"event": "moon_landed", "at": "2026-01-02T03:04:05Z", "shoe": 9}, "moon_landed")],
)
def test_an_event_of_a_newer_version_is_kept_and_shown(
    store_path: Path, event: dict[str, Any], name: str
) -> None:
    import msgspec

    store = filled(store_path)
    who = {"user": None, "uid": 1, "host": "h"}
    data = stamp(msgspec.json.encode({**event, "who": who}))
    (store_path / "ledger/pending/20260102T030405.000000Z~00.json").write_bytes(data)
    assert verify(store).problems == ()
    found = [entry.event for entry in store.ledger.entries()]
    assert [each.name for each in found if isinstance(each, UnknownEvent)] == [name]
    assert data.rstrip(b"\n") in (next((store_path / "ledger/entries").iterdir()).read_bytes())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\n",
        stamp(b'{"kind":"params"}'),
        stamp(b'{"event":"run_sealed","at":"2026-01-02T03:04:05Z","who":1}'),
        b'{"event":"packed"}\n',
    ],
)
def test_T53_what_is_no_event_never_becomes_an_entry(store_path: Path, content: bytes) -> None:  # noqa: N802
    store = filled(store_path)
    (store_path / "ledger/pending/20260102T030405.000000Z~00.json").write_bytes(content)
    result = verify(store)
    assert (result.size, kinds(result), result.verdict) == (3, {"event_damaged"}, "tampered")
