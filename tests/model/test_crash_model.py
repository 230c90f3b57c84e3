"""The power is cut after every call to the disk: no store is invalid, nothing promised is lost.

Each workload is recorded once. After each call every legal state of the disk (`disk_log`) is put
together, opened, verified, repaired, read and written to. The repair is cut short in the same way.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from model.disk_log import Killed, Machine, RecordingDisk, Tree, fingerprint, write_tree
from model.workloads import WORKLOADS, Promise, Workload, dead_process, go_on

from instrument.clock import SystemClock
from instrument_local import LocalStore, files, flusher, liveness, maintenance
from instrument_local.files import Disk

CLOCK = SystemClock()


class Bench:
    """A place to put crash states together, with a count of them."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place = place
        self.states = self.repairs = 0
        self._seen: set[tuple[bytes, int]] = set()
        monkeypatch.setenv("XDG_STATE_HOME", str(place / "state"))
        monkeypatch.setattr(flusher.flusher, "watch", lambda journal: None)

    def record(
        self, name: str, workload: Workload, log: list[Any], *, kill_at: int | None = None
    ) -> list[tuple[int, Promise]]:
        """Do `workload`; its promises, each with the length of the log when it was made."""
        disk = RecordingDisk(self.place / name / "store", log)
        disk.killed_at = kill_at
        store = _in_a_new_process(self.place / name / "store", disk)
        try:
            return [(len(log), promise) for promise in workload(store, self.place)]
        except Killed:
            return []

    def _is_new(self, tree: Tree, promises: int) -> bool:
        key = (fingerprint(tree), promises)
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    def put_together(self, tree: Tree) -> Path:
        write_tree(tree, self.place / "crashed")
        shutil.rmtree(self.place / "state", ignore_errors=True)  # else it looks rolled back
        return self.place / "crashed/store"

    def check(self, tree: Tree, promises: list[Promise], cuts: int) -> None:
        """Nothing is lost in `tree`, before and after a repair, also one that is cut short."""
        self.states += 1
        path = self.put_together(tree)
        _check(path, promises)
        machine, log = Machine.holding(path), list[Any]()
        result = _in_a_new_process(path, RecordingDisk(path, log)).repair()
        assert [step.error for step in result.steps if step.error] == []
        assert result.verification.ok, result.verification.problems
        _check(path, promises)
        again = _open(path).repair()
        assert again.steps == (), again.steps
        if result.steps:
            go_on(_open(path))
            _check(path, promises)
        if result.steps and cuts:
            self._cut_repairs(machine, log, promises, cuts)

    def _cut_repairs(
        self, machine: Machine, log: list[Any], promises: list[Promise], limit: int
    ) -> None:
        """The repair that `log` recorded is cut short after each of its calls."""
        made = [(0, promise) for promise in promises]
        for tree, _ in _spread(list(self.states_of(machine, log, made, exhaustive=2)), limit):
            self.repairs += 1
            self.check(tree, promises, cuts=0)

    def states_of(
        self,
        machine: Machine,
        log: list[Any],
        made: list[tuple[int, Promise]],
        *,
        start: int = 0,
        exhaustive: int,
        samples: int = 0,
    ) -> Iterator[tuple[Tree, list[Promise]]]:
        """All new states after each call of `log`, each with what was promised by then."""
        for number, call in enumerate(log, start=1):
            machine.do(call)
            if number >= start:
                kept = [promise for at, promise in made if at <= number]
                for tree in machine.crash_states(exhaustive, samples, seed=number):
                    if self._is_new(tree, len(kept)):
                        yield tree, kept


def _spread(states: list[Any], limit: int) -> list[Any]:
    """At most about `limit` of `states`, from all over."""
    return states[:: max(1, len(states) // limit)] if limit else states


def _open(path: Path) -> LocalStore:
    """The store, on a disk that is never waited for."""
    disk = Disk()
    disk.fsync = disk.fdatasync = lambda fd: None
    return _in_a_new_process(path, disk)


def _in_a_new_process(path: Path, disk: Disk) -> LocalStore:
    """The store as a process opens it that knows nothing of what others synced."""
    files._DURABLE.clear()
    return LocalStore(path, CLOCK, disk)


def _check(path: Path, promises: list[Promise]) -> None:
    store = _open(path)
    result = store.verify()
    assert result.ok, result.problems
    for promise in promises:
        promise(store)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    process = msgspec.structs.replace(liveness.this_process(), boot_id=dead_process()["boot_id"])
    monkeypatch.setattr(maintenance, "this_process", lambda: process)
    return Bench(tmp_path, monkeypatch)


def _crash(
    bench: Bench, name: str, limit: int, cuts: int, exhaustive: int, samples: int = 0
) -> None:
    """Check states of the workload `name`: about `limit`, with `cuts` of each repair; 0 for all."""
    log: list[Any] = []
    promises = bench.record("first", WORKLOADS[name], log)
    found = bench.states_of(Machine(), log, promises, exhaustive=exhaustive, samples=samples)
    states = list(found)
    for tree, kept in _spread(states, limit):
        bench.check(tree, kept, cuts)
    print(
        f"{name}: {len(log)} calls, {len(states)} states, {bench.states - bench.repairs} checked, "
        f"and {bench.repairs} cut repairs"
    )
    assert bench.states >= min(limit or len(states), len(states))


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_power_cut_after_any_call_loses_nothing_that_was_promised(
    bench: Bench, name: str
) -> None:
    _crash(bench, name, limit=20, cuts=1, exhaustive=2)


def test_a_power_cut_while_a_run_is_removed_leaves_no_part_of_it_alone(bench: Bench) -> None:
    """All states of the end of a deletion: its calls may reach the disk in any order."""
    log: list[Any] = []
    promises = bench.record("first", WORKLOADS["removing"], log)
    end = 20  # calls: those that remove the files of the run
    found = bench.states_of(Machine(), log, promises, start=len(log) - end, exhaustive=3, samples=3)
    for tree, kept in found:
        bench.check(tree, kept, cuts=0)
    assert bench.states > end


def _crash_after_a_death(bench: Bench, name: str, kills: int, limit: int) -> None:
    """A process dies with nothing synced; another does the same again; then the power is cut."""
    log: list[Any] = []
    bench.record("whole", WORKLOADS[name], log)
    for kill_at in range(1, len(log), max(1, len(log) // kills)):
        log = []
        where = f"killed-{kill_at}"
        bench.record(where, WORKLOADS[name], log, kill_at=kill_at)
        died = len(log)
        promises = bench.record(where, WORKLOADS[name], log)
        machine = Machine()
        states = list(bench.states_of(machine, log, promises, start=died, exhaustive=2))
        for tree, kept in _spread(states, limit):
            bench.check(tree, kept, cuts=0)
    print(f"{name}: {bench.states} states after a death")
    assert bench.states


# A run has its own rules for who goes on: see `one_run(…, attempt=2)` in `packing`.
@pytest.mark.parametrize("name", ["objects", "versions"])
def test_what_a_dead_process_did_not_sync_is_no_trap_for_the_next(bench: Bench, name: str) -> None:
    _crash_after_a_death(bench, name, kills=10, limit=4)


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", ["objects", "versions"])
def test_every_death_before_the_power_cut(bench: Bench, name: str) -> None:
    _crash_after_a_death(bench, name, kills=1000, limit=0)


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", WORKLOADS)
def test_every_state_after_every_call(bench: Bench, name: str) -> None:
    _crash(bench, name, limit=0, cuts=10, exhaustive=6, samples=6)
