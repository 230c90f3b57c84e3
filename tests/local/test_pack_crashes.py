"""Packing is stopped at every call to the disk, by death and by errors; others read meanwhile."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from local.faulty_disk import CALLS, FaultyDisk

from instrument.clock import SystemClock
from instrument.errors import StoreError
from instrument.records import Metrics
from instrument.testing.samples import record_run, run_started
from instrument_local import LocalStore, open_store
from instrument_local.files import Disk

RUNS = [f"2026010{number}-run" for number in range(1, 4)]
WRITING = (*CALLS, "rmdir")


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A store with a few sealed runs."""
    path = tmp_path / "template"
    store = open_store(path, SystemClock())
    for run_id in RUNS:
        metrics = (Metrics(values={"loss": float(step)}, step=step) for step in range(5))
        record_run(store, run_id, run_started(run_id), *metrics)
        store.seal(run_id)
    return path


class DeadlyDisk(Disk):
    """Ends the process, as SIGKILL does, instead of its n-th call."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.left = last
        for name in WRITING:
            setattr(self, name, self._counted(getattr(self, name)))

    def _counted(self, call: object) -> object:
        def counted(*arguments: object) -> object:
            self.left -= 1
            if self.left == 0:
                os._exit(9)
            assert callable(call)
            return call(*arguments)

        return counted


def _pack(path: Path, disk: Disk) -> int:
    """Pack in a child, whose lock ends with it; its exit code, 3 for a `StoreError`."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            LocalStore(path, SystemClock(), disk).pack(everything=True)
            code = 0
        except StoreError:
            code = 3
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _copy(template: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the store, for a user who has seen no other: a copy looks rolled back."""
    shutil.copytree(template, path)
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, f"{path}-{name}")


def _answers(path: Path) -> object:
    store = open_store(path, SystemClock())
    entries = [list(store.entries(run_id)) for run_id in RUNS]
    return store.runs(), entries, [store.run(run_id) for run_id in RUNS]


def _check(path: Path, expected: object) -> None:
    """All is as before; packing again comes to its end; all is as before."""
    assert _answers(path) == expected
    assert open_store(path, SystemClock()).verify().ok
    again = open_store(path, SystemClock())
    again.pack(everything=True)
    assert [file for file in (path / "runs").rglob("*") if file.is_file()] == []
    assert len(list((path / "packs").iterdir())) == 1
    assert _answers(path) == expected
    assert again.verify().problems == ()


@pytest.mark.faults
def test_death_at_every_call_leaves_every_run_readable(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = _answers(template)
    seen = set()
    for last in range(1, 1000):
        path = tmp_path / f"store-{last}"
        _copy(template, path, monkeypatch)
        code = _pack(path, DeadlyDisk(last))
        assert code in {0, 9}
        loose = sum(1 for file in (path / "runs").rglob("*") if file.is_file())
        seen.add((loose, len(list(path.glob("packs/*")))))
        _check(path, expected)
        shutil.rmtree(path)
        if code == 0:
            break
    assert {(6, 0), (6, 1), (5, 1), (1, 1), (0, 1)} <= seen


@pytest.mark.faults
@pytest.mark.parametrize(("code", "forever"), [(errno.ENOSPC, False), (errno.EIO, True)])
def test_an_error_at_any_call_loses_nothing(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, forever: bool
) -> None:
    expected = _answers(template)
    codes = []
    for fail in range(1, 60, 2):
        path = tmp_path / f"store-{fail}"
        _copy(template, path, monkeypatch)
        codes.append(_pack(path, FaultyDisk(fail, code, forever=forever, only=WRITING)))
        _check(path, expected)
        shutil.rmtree(path)
    assert set(codes) == {0, 3}


def test_a_file_that_grows_while_it_is_packed_stays(
    template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(template, SystemClock())
    (journal,) = (template / "runs" / "202601" / RUNS[0]).glob("*.jsonl")
    whole = journal.read_bytes()

    def grow(*arguments: object) -> object:
        with journal.open("ab") as file:
            file.write(b"more\n")
        monkeypatch.undo()
        return write_pack(*arguments)  # type: ignore[arg-type]

    from instrument_local.packs import moving, writing

    write_pack = writing.write_pack
    monkeypatch.setattr(moving, "write_pack", grow)
    with pytest.raises(StoreError, match="cannot be read back"):
        store.pack(everything=True)
    assert journal.read_bytes() == whole + b"more\n"
    assert not list(template.glob("packs/*"))


READER = """
import sys
from pathlib import Path
from instrument.clock import SystemClock
from instrument_local import open_store
path, *wanted = sys.argv[1:]
rounds = 0
print("ready", flush=True)
while not Path(path, "stop").exists() or rounds < 3:
    store = open_store(Path(path), SystemClock())
    ids = sorted(run.id for run in store.runs())
    assert ids == wanted, ids
    for run_id in wanted:
        assert len(list(store.entries(run_id))) == 9, run_id
        assert store.run(run_id).id == run_id
    rounds += 1
"""


def test_others_read_while_it_is_packed(tmp_path: Path) -> None:
    path = tmp_path / "busy"
    store = open_store(path, SystemClock())
    ids = [f"202601{number:02}-run" for number in range(1, 31)]
    for run_id in ids:
        record_run(
            store, run_id, run_started(run_id), *[Metrics(values={}, step=n) for n in range(5)]
        )
        store.seal(run_id)
    command = [sys.executable, "-c", READER, str(path), *ids]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"ready\n"
    assert store.pack(everything=True).runs == len(ids)
    (path / "stop").touch()
    for reader in readers:
        reader.communicate(timeout=60)
        assert reader.returncode == 0


def test_two_who_pack_do_not_meet(template: Path) -> None:
    from instrument_local.layout import Layout
    from instrument_local.maintenance import maintenance

    layout = Layout(template, SystemClock(), Disk())
    store = open_store(template, SystemClock())
    with maintenance(layout, "gc"), pytest.raises(StoreError, match="locked for gc"):
        store.pack(everything=True)
    assert store.pack(everything=True).runs == len(RUNS)
