"""Collecting and deleting are stopped at every call to the disk, by death and by errors."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from local.faulty_disk import CALLS, FaultyDisk
from upkeep.keeping import (
    add_run,
    add_version,
    captured,
    grow_old,
    logged,
    metric,
    run_id,
    runs_with_checkpoints,
    scope,
    store_at,
)

from instrument.audit import VersionsMade
from instrument.errors import NotFoundError, StoreError
from instrument.protocols.upkeep import Scope
from instrument_local import LocalStore
from instrument_local.files import Disk

WRITING = (*CALLS, "rmdir", "utime")
BOTH = Scope(policies=scope(keep=["last=1"]).policies, unreferenced=True)


class DeadlyDisk(Disk):
    """Ends the process, as SIGKILL does, instead of its n-th call."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.left = last
        for name in WRITING:
            setattr(self, name, self._counted(getattr(self, name)))

    def _counted(self, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object) -> object:
            self.left -= 1
            if self.left == 0:
                os._exit(9)
            return call(*arguments)

        return counted


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A store with something to let go, packed in part, and a mirror's traces."""
    store = store_at(tmp_path / "template")
    runs_with_checkpoints(store, 2)
    for number in (3, 4):
        left = add_version(store, "left", b"made by %d" % number, run=run_id(number))
        environment = store.put_bytes(b"environment of %d" % number)
        add_run(store, number, captured(environment), logged(left), metric(number))
        if number == 3:
            store.pack(everything=True)
    store.put_bytes(b"nobody's")
    grow_old(store)
    mirrored = Path(store.location, "mirrors/wandb")
    mirrored.mkdir(parents=True)
    (mirrored / f"{run_id(3)}.log").write_bytes(b"what was said")
    return tmp_path / "template"


def _collect(store: LocalStore) -> None:
    store.upkeep.collect(BOTH, "crash test")


def _redact(store: LocalStore) -> None:
    for number in (3, 4):
        try:
            store.upkeep.delete_run(run_id(number), "privacy", redact=True)
        except NotFoundError:
            continue  # by the one that was stopped


def _collected(path: Path) -> bool:
    store = store_at(path)
    names = [f"ckpt:v{number}" for number in (1, 2)]
    gone = [not store.contains(each.digest) for each in store.artifacts() if each.ref in names]
    return gone == [True, True] and not list((path / "trash").iterdir())


def _redacted(path: Path) -> bool:
    texts = (b"environment of 3", b"environment of 4", b"what was said")
    files = [file for file in path.rglob("*") if file.is_file()]
    ids = store_at(path).runs()
    return {run.id for run in ids} == {run_id(1), run_id(2)} and not any(
        file.read_bytes() in texts for file in files
    )


Operation = tuple[Callable[[LocalStore], None], Callable[[Path], bool]]
OPERATIONS: dict[str, Operation] = {
    "collect": (_collect, _collected),
    "redact": (_redact, _redacted),
}


def _in_a_child(path: Path, disk: Disk, operation: Callable[[LocalStore], None]) -> int:
    """The exit code of a child, whose lock ends with it; 3 for a `StoreError`."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            operation(store_at(path, disk))
            code = 0
        except StoreError:
            code = 3
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _copy(template: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the store, for a user who has seen no other: a copy looks rolled back."""
    shutil.copytree(template, path)
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, f"{path}-{name}")


def _check(path: Path, name: str, number: int) -> None:
    """Nothing is missing that the ledger does not explain, and the next time ends it."""
    operation, is_done = OPERATIONS[name]
    result = store_at(path).verify()
    assert result.ok, (number, result.problems)
    _check_left_versions(path, number)
    operation(store_at(path))
    assert is_done(path), number
    result = store_at(path).verify()
    assert result.ok, (number, result.problems)
    _check_left_versions(path, number)


def _check_left_versions(path: Path, number: int) -> None:
    """What a run made is bound at any time: by the run's seal, or, once, by the ledger."""
    store = store_at(path)
    events = [entry.event for entry in store.ledger.entries()]
    noted = [ref for event in events if isinstance(event, VersionsMade) for ref in event.versions]
    assert len(noted) == len(set(noted)), number
    for left, run in (("left:v1", 3), ("left:v2", 4)):
        assert left in noted or store._layout.run_files(run_id(run)).seals, number


def _try(
    template: Path, path: Path, name: str, disks: Callable[[int], Disk], every: int,
    monkeypatch: pytest.MonkeyPatch,
) -> int:  # fmt: skip
    number = tried = 0
    while True:
        number += every
        trial = path / f"store-{number}"
        _copy(template, trial, monkeypatch)
        code = _in_a_child(trial, disks(number), OPERATIONS[name][0])
        assert code in {0, 3, 9}, code
        _check(trial, name, number)
        shutil.rmtree(trial)
        if code == 0:
            return tried
        tried += 1


@pytest.mark.faults
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_death_at_a_call(
    template: Path, tmp_path: Path, name: str, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _try(template, tmp_path, name, DeadlyDisk, every, monkeypatch) > 20 / every


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_errors_from_a_call_on(
    template: Path, tmp_path: Path, name: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    disks = lambda number: FaultyDisk(number, code, forever=True, only=WRITING)  # noqa: E731 - short
    assert _try(template, tmp_path, name, disks, 1, monkeypatch) > 20


def test_what_an_interrupted_collection_moved_goes_back_first(store_path: Path) -> None:
    store = store_at(store_path)
    made = runs_with_checkpoints(store, 1)
    lies = store.path_of(made[0].digest)
    assert lies is not None
    (store_path / "trash").mkdir()
    lies.rename(store_path / "trash" / lies.name)
    found = store.verify()
    assert {each.kind for each in found.problems} == {"object_set_aside"}
    assert found.ok
    store.upkeep.collect(scope(keep=["last=9"]))
    assert lies.read_bytes() == b"weights 1"
    assert not store.verify().problems


def test_an_event_explains_before_anything_goes(store_path: Path) -> None:
    runs_with_checkpoints(store_at(store_path), 1)
    order: list[str] = []

    class Watching(Disk):
        def __init__(self) -> None:
            super().__init__()
            for name in ("link", "rename", "unlink"):
                setattr(self, name, self._watched(name, getattr(self, name)))

        def _watched(self, name: str, call: Callable[..., None]) -> Callable[..., None]:
            def watched(*paths: Path) -> None:
                order.append(f"{name} {paths[-1].parent.name}")
                call(*paths)

            return watched

    store_at(store_path, Watching()).upkeep.collect(scope(older_than="1h"))
    noted, moved = order.index("link pending"), order.index("rename trash")
    assert noted < moved < order.index("unlink trash")


def test_logging_the_same_again_heals(store_path: Path) -> None:
    store = store_at(store_path)
    made = runs_with_checkpoints(store, 1)
    store.upkeep.collect(scope(older_than="1h"), "too many")
    with pytest.raises(NotFoundError, match=r"was collected on .*--older-than 1h.*too many.*again"):
        store.get_bytes(made[0].digest)
    store.put_bytes(b"weights 1")
    add_run(store, 9, logged(made[0]))
    assert store.get_bytes(made[0].digest) == b"weights 1"
    assert not store.verify().problems
