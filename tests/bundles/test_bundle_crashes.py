"""Row 12: an import or an export stops at every call to the disk; two import at once."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundles.making import RUN, answers, bundle_of, full_run, log, store_at
from local.faulty_disk import CALLS, FaultyDisk

from instrument.audit import Exported, Imported
from instrument.errors import InstrumentError
from instrument.records import Metrics
from instrument.testing.samples import record_run
from instrument_local import LocalStore
from instrument_local.files import Disk


class DeadlyDisk(Disk):
    """Ends the process, as SIGKILL does, instead of its n-th call."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.left = last
        for name in CALLS:
            setattr(self, name, self._counted(getattr(self, name)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                os._exit(9)
            return call(*arguments)

        return counted


def apart(deed: Callable[[], object]) -> int:
    """Do it in a child, whose lock ends with it; its exit code, 3 for an error of ours."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            deed()
            code = 0
        except InstrumentError:
            code = 3
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def ours(tmp_path: Path) -> LocalStore:
    store = store_at(tmp_path / "ours")
    full_run(store)
    return store


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A store in which the id and the name are taken."""
    store = store_at(tmp_path / "template")
    record_run(store, RUN, Metrics(values={"mine": 1.0}, step=0))
    store.seal(RUN)
    log(store, "model", b"mine")
    store.ledger.integrate()
    return tmp_path / "template"


def fresh(template: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(template, path)
    monkeypatch.setenv("XDG_STATE_HOME", f"{path}-state-{os.urandom(4).hex()}")


def check(path: Path, bundle: Path, expected: object) -> int:
    """What is there is whole; the import completes; the number of runs that were there before."""
    store = store_at(path)
    before = store.runs()
    for run in before:
        list(store.entries(run.id))
    assert store.verify().ok
    brought = store.bundles.import_(bundle)
    assert answers(store, RUN, brought.runs[0].here) == expected
    result = store.verify()
    assert result.problems == ()
    assert sum(isinstance(e.event, Imported) for e in store.ledger.entries()) == 1
    return len(before)


@pytest.mark.faults
@pytest.mark.parametrize("every", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_t12_death_at_every_call_of_an_import(
    ours: LocalStore,
    template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    every: int,
) -> None:
    bundle = bundle_of(ours, tmp_path / "b")
    path = tmp_path / "store"
    fresh(template, path, monkeypatch)
    whole = store_at(path)
    here = whole.bundles.import_(bundle).runs[0].here
    expected = answers(whole, RUN, here)
    seen = set()
    for last in range(1, 1000, every):
        fresh(template, path, monkeypatch)
        code = apart(lambda: store_at(path, DeadlyDisk(last)).bundles.import_(bundle))  # noqa: B023 - done at once
        assert code in {0, 9}
        seen.add(check(path, bundle, expected))
        if code == 0:
            break
    assert last > 50
    assert seen == {1, 2}  # there or not: no part of the run is ever seen


@pytest.mark.faults
@pytest.mark.parametrize("every", [29, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("code", "forever"), [(errno.ENOSPC, False), (errno.EIO, True)])
def test_t12_an_error_at_any_call_of_an_import(
    ours: LocalStore,
    template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    forever: bool,
    every: int,
) -> None:
    bundle = bundle_of(ours, tmp_path / "b")
    path = tmp_path / "store"
    fresh(template, path, monkeypatch)
    whole = store_at(path)
    expected = answers(whole, RUN, whole.bundles.import_(bundle).runs[0].here)
    codes = set()
    for fail in range(1, 160, every):
        fresh(template, path, monkeypatch)
        disk = FaultyDisk(fail, code, forever=forever)
        codes.add(apart(lambda: store_at(path, disk).bundles.import_(bundle)))  # noqa: B023 - done at once
        check(path, bundle, expected)
    assert codes == {0, 3}


@pytest.mark.faults
@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_t12_death_at_every_call_of_an_export(
    ours: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    template, path, target = tmp_path / "ours", tmp_path / "store", tmp_path / "out" / "b"
    target.parent.mkdir()
    for last in range(1, 1000, every):
        fresh(template, path, monkeypatch)
        code = apart(lambda: bundle_of(store_at(path, DeadlyDisk(last)), target))  # noqa: B023 - done at once
        assert code in {0, 9}
        store = store_at(path)
        if target.exists():  # whole, and told
            assert store_at(tmp_path / "none").bundles.import_(target, dry_run=True).runs
            assert [e for e in store.ledger.entries() if isinstance(e.event, Exported)]
            target.unlink()
        assert store.verify().ok
        bundle_of(store, target)
        target.unlink()
        if code == 0:
            break
    assert last > 20


EXPORTER = """
import sys
from pathlib import Path
from bundles.making import bundle_of, store_at
def told(size):
    print("writing", flush=True)
    sys.stdin.readline()
bundle_of(store_at(Path(sys.argv[1])), Path(sys.argv[2]), told=told)
"""


def exporter(store: LocalStore, target: Path) -> subprocess.Popen[bytes]:
    """A process that stands still while it writes the bundle `target`."""
    command = [sys.executable, "-c", EXPORTER, store.location, str(target)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    child: subprocess.Popen[bytes] = subprocess.Popen(command, **pipes)  # type: ignore[call-overload]
    assert child.stdout is not None
    assert child.stdout.readline() == b"writing\n"
    return child


def test_t12_an_export_removes_what_a_killed_one_left_and_nothing_else(
    ours: LocalStore, tmp_path: Path
) -> None:
    target, other = tmp_path / "out" / "a[b", tmp_path / "out" / "a[b.2"
    target.parent.mkdir()
    for killed in [exporter(ours, each) for each in (target, target, other)]:
        killed.kill()
        killed.communicate()
    left = set(target.parent.iterdir())
    assert len(left) == 3
    dead = {path for path in left if path.name.startswith(".a[b.") and ".2." not in path.name}
    alive = exporter(ours, target)
    (writing,) = set(target.parent.iterdir()) - (left - dead)
    assert writing not in left  # it removed the dead ones
    foreign = writing.with_name(f".a[b.{'0' * 16}.part")
    foreign.write_bytes(b"on another host")
    bundle_of(ours, target)
    assert set(target.parent.iterdir()) == {target, writing, foreign, *(left - dead)}
    _, said = alive.communicate(b"\n" * 100)
    assert b"was made meanwhile" in said
    assert set(target.parent.iterdir()) == {target, foreign, *(left - dead)}


def test_t12_without_locks_nothing_is_removed_and_exports_go_on(
    ours: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out" / "b"
    target.parent.mkdir()
    killed = exporter(ours, target)
    killed.kill()
    killed.communicate()
    (left,) = target.parent.iterdir()

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patched:
        patched.setattr("fcntl.flock", no_locks)
        bundle_of(ours, target)
    assert set(target.parent.iterdir()) == {target, left}
    target.unlink()
    bundle_of(ours, target)
    assert set(target.parent.iterdir()) == {target}


IMPORTER = """
import sys
from pathlib import Path
from bundles.making import store_at
store = store_at(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
store.bundles.import_(Path(sys.argv[2]))
"""


@pytest.mark.parametrize("number", [2, 6])
def test_t12_many_who_import_one_bundle_at_once(
    ours: LocalStore, tmp_path: Path, number: int
) -> None:
    bundle = bundle_of(ours, tmp_path / "b")
    command = [sys.executable, "-c", IMPORTER, str(tmp_path / "theirs"), str(bundle)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    importers = [subprocess.Popen(command, **pipes) for _ in range(number)]  # type: ignore[call-overload]
    for each in importers:
        assert each.stdout.readline() == b"ready\n"
    for each in importers:
        each.stdin.write(b"go\n")
        each.stdin.flush()
    for each in importers:
        _, said = each.communicate(timeout=120)
        assert each.returncode == 0, said
    store = store_at(tmp_path / "theirs")
    assert answers(store) == answers(ours)
    assert store.verify().problems == ()
    assert len(list(Path(store.location).glob("packs/*"))) == 1
    assert sum(isinstance(e.event, Imported) for e in store.ledger.entries()) == 1
