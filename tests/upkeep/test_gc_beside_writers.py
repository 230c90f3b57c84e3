"""Whoever stores or finds an object while gc runs keeps it."""

import fcntl
import multiprocessing
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from upkeep.keeping import (
    DAY,
    add_run,
    grow_old,
    logged,
    metric,
    runs_with_checkpoints,
    scope,
    store_at,
    there,
    used,
)

from instrument.naming import parse_reference
from instrument.testing.samples import AT, draft, record_run
from instrument_local.files import Disk
from instrument_local.mounts import Mount
from instrument_local.upkeep import collecting

WRITERS = 16
CONTENTS = [b"content %d" % number * 50 for number in range(300)]
OLD = scope(older_than="1h", types=["checkpoint"], unreferenced=True)


class InterruptingDisk(Disk):
    """Does something else right before each call of one kind."""

    def __init__(self, call: str, deed: "Deed") -> None:
        super().__init__()
        real = getattr(self, call)

        def interrupted(*arguments: object) -> object:
            deed()
            return real(*arguments)

        setattr(self, call, interrupted)


class Deed:
    """Something that is done once."""

    def __init__(self, what: Callable[[], object] | None = None) -> None:
        self.what = what

    def __call__(self) -> None:
        what, self.what = self.what, None
        if what is not None:
            what()


def test_what_is_found_again_is_young_again(store_path: Path, tmp_path: Path) -> None:
    store = store_at(store_path)
    source = tmp_path / "source.bin"
    source.write_bytes(b"s" * 2_000_000)
    os.utime(source, (1e9, 1e9))
    put: tuple[Callable[[], str], ...] = (
        lambda: store.put_bytes(b"bytes"),
        lambda: store.put_file(source).digest,
        lambda: store.put_files([source])[0].digest,
    )
    for again in put:
        path = store.path_of(again())
        assert path is not None
        os.utime(path, (time.time() - 3 * DAY,) * 2)
        again()
        assert time.time() - path.stat().st_mtime < DAY / 2


@pytest.mark.parametrize("call", ["rename", "unlink"])
def test_what_is_found_while_it_is_removed_is_there_afterwards(store_path: Path, call: str) -> None:
    """At either end of the window: gc has made up its mind, or has moved the object already."""
    deed = Deed()
    store = store_at(store_path, InterruptingDisk(call, deed))
    made = runs_with_checkpoints(store, 1)
    writer = store_at(store_path)

    def put() -> None:
        writer.put_bytes(b"weights 1")
        assert writer.get_bytes(made[0].digest) == b"weights 1"

    deed.what = put
    store.upkeep.collect(scope(older_than="1h"))
    assert there(store, made) == ["ckpt:v1"]
    assert not list((store_path / "trash").iterdir())
    assert store.verify().ok


@pytest.mark.parametrize("deed", ["tag", "use"])
def test_what_is_wanted_while_it_is_removed_goes_back(
    store_path: Path, deed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(store_path)
    made = runs_with_checkpoints(store, 2)

    def want(_: object) -> None:
        if deed == "tag":
            store_at(store_path).tag(parse_reference("ckpt:v1"), "precious", AT)
        else:
            add_run(store_at(store_path), 9, used(made[0]))

    monkeypatch.setattr(collecting.Collector, "_settle", want)
    store.upkeep.collect(scope(keep=["tagged", "used"]))
    assert there(store, made) == ["ckpt:v1"]


def test_what_gc_has_moved_is_read_all_the_same(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(store_path)
    made = runs_with_checkpoints(store, 1)
    seen = []
    monkeypatch.setattr(
        collecting.Collector,
        "_settle",
        lambda _: seen.append(store_at(store_path).get_bytes(made[0].digest)),
    )
    store.upkeep.collect(scope(older_than="1h"))
    assert seen == [b"weights 1"]


def test_on_a_network_disk_it_waits_until_other_hosts_have_noticed(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, waited = store_at(store_path), list[float]()
    runs_with_checkpoints(store, 1)
    others_sleep = time.sleep

    def sleep(seconds: float) -> None:
        mine = threading.current_thread() is threading.main_thread()
        (waited.append if mine else others_sleep)(seconds)

    monkeypatch.setattr(collecting, "mount_of", lambda _: Mount("nfs4", ""))
    monkeypatch.setattr(time, "sleep", sleep)
    store.upkeep.collect(scope(older_than="1h"))
    assert waited == [collecting.NETWORK_SECONDS]


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    with path.with_name("days").open("w") as file:
        fcntl.flock(file, how)
        yield


class Days:
    """Lets days pass in a moment in which no writer is at work: none takes a day."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("fork")
        self.gate = context.Event()
        self.passed = context.Value("i", 0)

    def pass_by(self, path: Path) -> None:
        self.gate.clear()
        with _locked(path, fcntl.LOCK_EX):
            grow_old(store_at(path))
            self.passed.value += 1
        self.gate.set()


def _write(path: Path, number: int, seconds: float, days: Days) -> None:
    """Log the same contents again and again; what was logged today must be there."""
    store, end, step, day = store_at(path), time.monotonic() + seconds, 0, -1
    choose, today = random.Random(number).choice, dict[str, bytes]()
    while time.monotonic() < end:
        days.gate.wait()
        with _locked(path, fcntl.LOCK_SH):
            if days.passed.value != day:
                day, today = days.passed.value, {}
            content = choose(CONTENTS)
            digest = store.put_bytes(content)
            version = store.claim(draft(f"shared{step % 3}", content, type="checkpoint"))
            if step % 20 == number:
                record_run(store, f"202603-{number}-{step}", logged(version), metric(step))
            today[digest] = content
            assert all(store.get_bytes(each) == today[each] for each in today)
        step += 1


@pytest.mark.timeout(120)
def test_sixteen_writers_lose_nothing_to_a_gc_that_never_rests(store_path: Path) -> None:
    _race(store_path, seconds=6)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_sixteen_writers_lose_nothing_for_a_minute(store_path: Path) -> None:
    _race(store_path, seconds=60)


def _race(path: Path, seconds: float) -> None:
    store = store_at(path)
    store.put_bytes(b"first")
    context, days = multiprocessing.get_context("fork"), Days()
    writers = [
        context.Process(target=_write, args=(path, number, seconds, days))
        for number in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    removed = rounds = 0
    while any(writer.is_alive() for writer in writers):
        days.pass_by(path)
        removed += store.upkeep.collect(OLD).objects
        rounds += 1
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    print(f"\n{rounds} collections removed {removed} objects beside {WRITERS} writers")
    assert removed > WRITERS, "the race was not run"
