"""T13 to T24: files in the store that are not what they should be. T21: test_maintenance_lock."""
# ruff: noqa: N802 - the ids of the threats

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from local.faulty_disk import journals

from instrument.clock import SystemClock
from instrument.errors import InstrumentError, IntegrityError, StoreError, StoreVersionError
from instrument.naming import parse_reference
from instrument.protocols import Damage
from instrument.records import Metrics, ProcessFinished, RunFinished
from instrument.testing import FakeClock
from instrument.testing.samples import AT, draft, process_started, record_run, run_started
from instrument.vocabulary import RunState
from instrument_local import LocalStore, open_store
from instrument_local.files import Disk
from instrument_local.stamps import stamp

RUN = "20260304-050607-0123456789ab"
OTHER = "20260304-050608-0123456789ab"
DIGEST = f"sha256:{hashlib.sha256(b'weights').hexdigest()}"
SECOND = f"sha256:{hashlib.sha256(b'other').hexdigest()}"
NOBODY = 65534


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    """Two objects, a version, two runs."""
    store = open_store(store_path, SystemClock())
    store.put_bytes(b"weights")
    store.put_bytes(b"other")
    store.claim(draft("model", b"weights"))
    for run_id in (RUN, OTHER):
        record_run(store, run_id, run_started("x"), Metrics(values={"loss": 0.5}, step=0))
        store.seal(run_id)
    assert store.verify().problems == ()
    return store


def _object(store: LocalStore, digest: str = DIGEST) -> Path:
    return Path(store.location, "objects", digest[7:9], digest[7:])


def _damage(store: LocalStore) -> list[Damage]:
    return [found for found in store.verify().problems if found.severity == "damage"]


def _overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(data)


# --- T13: symbolic links ------------------------------------------------------------------------


def test_T13_an_object_that_is_a_link_is_not_read(store: LocalStore) -> None:
    _object(store).unlink()
    _object(store).symlink_to("/etc/passwd")
    with pytest.raises(StoreError, match="symbolic link"):
        store.get_bytes(DIGEST)
    assert not store.contains(DIGEST)
    kinds = {found.kind for found in _damage(store)}
    assert "symbolic_link" in kinds
    assert store.get_bytes(SECOND) == b"other"


@pytest.mark.parametrize("part", ["objects", "objects/{}", "artifacts/model", "runs/202603"])
def test_T13_a_directory_that_is_a_link_is_damage_and_nothing_goes_through_it(
    store: LocalStore, tmp_path: Path, part: str
) -> None:
    directory = Path(store.location, part.format(DIGEST[7:9]))
    outside = tmp_path / "outside"
    shutil.move(directory, outside)
    directory.symlink_to(outside)
    before = sorted(outside.rglob("*"))
    again = open_store(Path(store.location), SystemClock())
    found = {damage.path for damage in _damage(again)}
    assert directory.relative_to(store.location).as_posix() in found
    if part.startswith("objects"):
        with pytest.raises(InstrumentError):
            again.get_bytes(DIGEST)
    with_writes: list[Callable[[], object]] = [
        lambda: again.put_bytes(b"weights"),
        lambda: again.claim(draft("model", b"a new one")),
        lambda: record_run(again, "20260305-new", run_started("x")),
    ]
    for write in with_writes:
        try:
            write()
        except InstrumentError:
            continue
    assert sorted(outside.rglob("*")) == before, "something was written outside the store"


def test_T13_a_store_that_is_swapped_for_another_is_not_mixed_with_it(
    store: LocalStore, tmp_path: Path
) -> None:
    root, decoy = Path(store.location), tmp_path / "decoy"
    open_store(decoy, SystemClock()).put_bytes(b"weights")
    _overwrite(decoy / "objects" / DIGEST[7:9] / DIGEST[7:], b"hostile")
    root.rename(tmp_path / "moved")
    root.symlink_to(decoy)
    with pytest.raises(InstrumentError):
        store.get_bytes(DIGEST)


# --- T14: objects -------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"weight", b"weightt", b"weights\0", b"other"])
def test_T14_an_object_that_changed_is_refused_and_named_and_the_others_are_read(
    store: LocalStore, data: bytes
) -> None:
    _overwrite(_object(store), data)
    for read in (store.get_bytes, store.open):
        with pytest.raises(IntegrityError, match=DIGEST):
            read(DIGEST)
    (found,) = _damage(store)
    assert (found.kind, found.expected) == ("object_changed", DIGEST)
    assert found.found == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert store.get_bytes(SECOND) == b"other"


def test_T14_two_objects_that_were_swapped_are_both_named(store: LocalStore) -> None:
    first, second = _object(store), _object(store, SECOND)
    first.rename(first.with_name("aside"))
    second.rename(first)
    first.with_name("aside").rename(second)
    assert {found.expected for found in _damage(store)} == {DIGEST, SECOND}


# --- T15: journals ------------------------------------------------------------------------------


def _open_journal(store: LocalStore) -> Path:
    """A journal of a run that was not closed, with four lines and an end."""
    steps = [Metrics(values={"loss": step}, step=step) for step in range(4)]
    record_run(store, "20260304-crashed", *steps, finish=False)
    (path,) = Path(store.location).glob("runs/*/20260304-crashed/*.jsonl")
    return path


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_T15_a_torn_tail_is_a_note_that_says_how_much(store: LocalStore, cut: int) -> None:
    path = _open_journal(store)
    path.write_bytes(path.read_bytes()[:-cut])
    (found,) = store.verify().problems
    assert (found.kind, found.severity) == ("torn_tail", "note")
    assert found.found is not None
    assert found.found.endswith("line 5")
    entries = list(store.entries("20260304-crashed"))
    assert [entry.seq for entry in entries] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\xff garbage\n",
        b'{"seq":2,"at":"2026-03-04T05:06:07Z","record":{"kind":"metrics"},"chain":"00"}\n',
        b'{"len":4294967295}\n',
        b"[" * 100_000 + b"\n",
        b"\xff" * 100_000 + b"\n",
        b"\n\n\n",
    ],
    ids=["bytes", "false-line", "length", "depth", "long", "empty-lines"],
)
def test_T15_garbage_in_the_middle_is_named_and_the_rest_is_read(
    store: LocalStore, garbage: bytes
) -> None:
    path = _open_journal(store)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], garbage, *lines[2:]]))
    assert {found.path for found in _damage(store)} == {path.relative_to(store.location).as_posix()}
    entries = store.entries("20260304-crashed")
    steps = [entry.record.step for entry in entries if isinstance(entry.record, Metrics)]
    assert steps == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["gap", "repeat"])
def test_T15_a_gap_and_a_repeat_show_in_the_sequence(store: LocalStore, kind: str) -> None:
    path = _open_journal(store)
    lines = path.read_bytes().splitlines(keepends=True)
    changed = [*lines[:2], *lines[3:]] if kind == "gap" else [*lines[:2], lines[1], *lines[2:]]
    path.write_bytes(b"".join(changed))
    assert {"sequence_broken", "chain_broken"} <= {found.kind for found in _damage(store)}


def test_T15_zeroes_where_nothing_was_synced_are_a_note_and_put_there_they_are_damage(
    store: LocalStore,
) -> None:
    path = _open_journal(store)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], bytes(len(lines[2])), *lines[3:]]))
    assert [found.kind for found in store.verify().problems] == ["torn_gap"]
    path.write_bytes(b"".join([*lines[:2], b"\0\0\0\n", *lines[2:]]))
    assert "chain_broken" in {found.kind for found in _damage(store)}


# --- T16: JSON ----------------------------------------------------------------------------------

HOSTILE = {
    "depth": b"[" * 100_000 + b"]" * 100_000,
    "object-depth": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "duplicate-keys": b'{"format":1,"format":2,"store_id":"x"}',
    "nan": b'{"format":NaN,"store_id":"x"}',
    "infinity": b'{"format":Infinity,"store_id":"x"}',
    "huge-number": b'{"format":1e400,"store_id":"x"}',
    "huge-integer": b'{"format":1' + b"0" * 400 + b',"store_id":"x"}',
    "huge-string": b'{"format":1,"store_id":"' + b"x" * 10_000_000 + b'"}',
    "not-utf8": b'{"format":1,"store_id":"\xff\xfe"}',
    "surrogate": b'{"format":1,"store_id":"\\ud800"}',
    "empty": b"",
    "null": b"null",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("stamped", [False, True])
def test_T16_hostile_json_is_a_typed_error_wherever_it_lies(
    store: LocalStore, data: bytes, stamped: bool
) -> None:
    data = stamp(data) if stamped else data  # somebody may know how
    root = Path(store.location)
    (seal,) = root.glob(f"runs/*/{RUN}/run.json")
    places = [seal, root / "artifacts/model/v1.json", journals(root)[1], root / "FORMAT"]
    for path in (*places[:-1], root / "open" / f"{RUN}~00.json"):
        path.parent.mkdir(exist_ok=True)
        kept = path.read_bytes() if path.exists() else None
        _overwrite(path, data + b"\n") if kept else path.write_bytes(data)
        relative = path.relative_to(root).as_posix()
        again = open_store(root, SystemClock())
        assert relative in {found.path for found in again.verify().problems}
        assert {run.id for run in again.runs()} == {RUN, OTHER}
        if path.name == "v1.json":
            with pytest.raises(IntegrityError):
                again.resolve(parse_reference("model:v1"))
        path.unlink() if kept is None else _overwrite(path, kept)
    _overwrite(places[-1], data)
    with pytest.raises(StoreError):
        open_store(root, SystemClock())


def test_T16_numbers_of_users_that_json_has_not_come_back(store: LocalStore) -> None:
    values: dict[str, float | str] = {"a": "NaN", "b": "Infinity", "c": "-Infinity"}
    record_run(store, "20260304-nan", Metrics(values=values, step=0))
    assert store.run("20260304-nan").metrics == values
    assert store.seal("20260304-nan").metrics == values
    assert store.verify().problems == ()


# --- T17: files that vanish, or cannot be read --------------------------------------------------


def test_T17_a_file_that_cannot_be_read_is_named_and_the_rest_is_read(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for code in (errno.EIO, errno.ESTALE, errno.EACCES):
        bad, real = _object(store).name, os.open

        def failing(path: object, flags: int, *rest: object, **more: object) -> int:
            if str(path).endswith((bad, "run.json")) and not flags & os.O_CREAT:  # noqa: B023
                raise OSError(code, os.strerror(code), str(path))  # noqa: B023
            return real(path, flags, *rest, **more)  # type: ignore[arg-type]  # noqa: B023

        with monkeypatch.context() as patched:
            patched.setattr(os, "open", failing)
            found = {damage.path: damage for damage in _damage(store)}
            assert store.get_bytes(SECOND) == b"other"
            assert store.run(RUN).state is RunState.COMPLETED, "the journals are what counts"
        unreadable = found[f"objects/{bad[:2]}/{bad}"]
        assert (unreadable.kind, unreadable.found) == ("unreadable", os.strerror(code))
    assert store.verify().ok


def test_T17_what_vanishes_between_listing_and_reading_is_named(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = _object(store)
    real = os.scandir

    def listing(path: object = ".") -> object:
        found = real(path)  # type: ignore[call-overload]
        bad.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(os, "scandir", listing)
    assert {damage.kind for damage in _damage(store)} == {"object_missing"}


# --- T18: what belongs to another user ----------------------------------------------------------

LOOK = """
import json, sys
from pathlib import Path
from instrument.clock import SystemClock
from instrument_local import open_store
store = open_store(Path(sys.argv[1]), SystemClock())
result = store.verify()
print(json.dumps([
    sorted(run.id for run in store.runs()),
    store.run(sys.argv[2]).state,
    [[found.kind, found.path] for found in result.problems],
    result.ok,
]))
"""


@pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None,
    reason="SKIPPED LOUDLY: needs root and setpriv to be two users",
)
def test_T18_a_run_of_another_user_is_unreadable_and_the_rest_works(
    store: LocalStore, tmp_path: Path
) -> None:
    root = Path(store.location)
    for path in (root, *root.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_mode & 0o005 != 0o005 and str(parent).startswith("/tmp/"):  # noqa: S108
            parent.chmod(0o755)
    (mine,) = root.glob(f"runs/*/{OTHER}")
    os.chown(mine, 0, 0)
    mine.chmod(0)
    command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    done = subprocess.run(
        [*command, sys.executable, "-c", LOOK, str(root), RUN],
        capture_output=True, text=True, check=False,
        env={**os.environ, "XDG_CACHE_HOME": "/nonexistent", "XDG_STATE_HOME": "/nonexistent"},
    )  # fmt: skip
    if "PermissionError" in done.stderr and "site-packages" in done.stderr:
        pytest.skip("SKIPPED LOUDLY: another user cannot read the interpreter's packages here")
    assert done.returncode == 0, done.stderr
    ids, state, problems, is_whole = json.loads(done.stdout)
    assert RUN in ids
    assert state == "COMPLETED"
    assert not is_whole
    assert ["unreadable", f"runs/202603/{OTHER}"] in problems
    assert ["foreign_owner", f"runs/202603/{OTHER}"] not in problems, "root may own anything"


# T19 (read-only, EROFS, quota, inodes): test_unwritable, test_full_disk, tests/faults.


# --- T20: clocks --------------------------------------------------------------------------------


def test_T20_a_clock_that_jumps_back_changes_no_order(store_path: Path) -> None:
    clock = FakeClock()
    store = LocalStore(store_path, clock)
    journal = store.begin(process_started("20260304-clock"))
    for step in range(4):
        at = clock.now()
        journal.take(Metrics(values={"loss": step}, step=step), at)
        clock.advance(-86_400.0)
    journal.take(RunFinished(state=RunState.COMPLETED, duration_seconds=1.0), clock.now())
    journal.take(ProcessFinished(lost=0, overhead={}), clock.now())
    journal.close()
    entries = [e for e in store.entries("20260304-clock") if isinstance(e.record, Metrics)]
    assert [entry.seq for entry in entries] == [1, 2, 3, 4]
    assert entries[0].at > entries[-1].at, "times are told as they were recorded"
    assert store.seal("20260304-clock").metrics == {"loss": 3}
    assert store.verify().problems == ()


@pytest.mark.parametrize("day", ["1970-01-02", "2038-01-20", "2024-02-29", "2199-12-31"])
@pytest.mark.skipif(
    shutil.which("faketime") is None,
    reason="SKIPPED LOUDLY: faketime is not installed (apt-get install faketime)",
)
def test_T20_a_host_with_another_date_records_and_kills_no_living_run(
    store: LocalStore, day: str
) -> None:
    living = store.begin(process_started("20260304-alive", boot_id=None, host="elsewhere"))
    script = (
        "from pathlib import Path; import sys\n"
        "from instrument.clock import SystemClock\n"
        "from instrument.testing.samples import record_run, run_started\n"
        "from instrument_local import open_store\n"
        "store = open_store(Path(sys.argv[1]), SystemClock())\n"
        "record_run(store, '20260304-other-day', run_started('x'))\n"
        "print(store.seal('20260304-other-day').state, store.run('20260304-alive').state)\n"
    )
    command = ["faketime", f"{day} 12:00:00", sys.executable, "-c", script, store.location]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "COMPLETED"
    assert store.run("20260304-alive").state is RunState.RUNNING
    living.close()
    assert store.verify().ok
    assert {run.id for run in store.runs()} >= {"20260304-other-day", RUN, OTHER}


# --- T22: the same writer twice -----------------------------------------------------------------


def test_T22_two_processes_that_take_themselves_for_one_write_two_files(store: LocalStore) -> None:
    """As after a snapshot of a virtual machine: everything about them is the same."""
    twins = [store.begin(process_started("20260304-twins")) for _ in range(2)]
    for step in range(3):
        for number, twin in enumerate(twins):
            twin.take(Metrics(values={f"twin{number}": step}, step=step), AT)
    for twin in twins:
        twin.close()
    found = journals(Path(store.location))
    names = [path.name for path in found if path.parent.name == "20260304-twins"]
    assert names == ["1-0-host-1-1000.jsonl", "1-0-host-1-1000-1.jsonl"]
    assert store.run("20260304-twins").metrics == {"twin0": 2, "twin1": 2}
    assert store.verify().problems == ()


# --- T23: modes ---------------------------------------------------------------------------------


def test_T23_what_others_may_write_to_or_own_is_told(store: LocalStore) -> None:
    root = Path(store.location)
    (root / "objects").chmod(0o777)
    (root / "artifacts/model/v1.json").chmod(0o660)
    expected = {
        ("open_to_others", "objects", "mode 0777: others may write to it"),
        ("open_to_others", "artifacts/model/v1.json", "mode 0660: others may write to it"),
    }
    if os.getuid() == 0:
        os.chown(_object(store), NOBODY, NOBODY)
        expected.add(
            ("foreign_owner", _object(store).relative_to(root).as_posix(), f"user {NOBODY}")
        )
    result = store.verify()
    assert {(found.kind, found.path, found.found) for found in result.problems} == expected
    assert result.ok, "it is no damage yet"


def test_T23_tmp_is_private_whatever_the_umask_and_others_files_are_told(store: LocalStore) -> None:
    root = Path(store.location)
    previous = os.umask(0)
    try:
        store.put_bytes(b"more")
    finally:
        os.umask(previous)
    assert (root / "tmp").stat().st_mode & 0o777 == 0o700
    for stray in ("notes.txt", "objects/README", "runs/202603/todo.txt", f"runs/202603/{RUN}/a.b"):
        (root / stray).write_text("mine")
        (found,) = store.verify().problems
        assert (found.kind, found.path, found.severity) == ("unexpected_file", stray, "note")
        (root / stray).unlink()


# --- T24: two versions on one store -------------------------------------------------------------


def test_T24_a_newer_format_is_refused_and_nothing_is_written(store: LocalStore) -> None:
    root = Path(store.location)
    _overwrite(root / "FORMAT", b'{"format":99,"store_id":"x","new":true,"check":"else"}\n')
    before = {path: path.stat().st_mtime_ns for path in (root, *root.rglob("*"))}
    with pytest.raises(StoreVersionError, match="install a newer"):
        open_store(root, SystemClock())
    for arguments in (
        ["verify"],
        ["repair"],
        ["runs", "list"],
        ["gc", "--dry-run"],
        ["run", "true"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "instrument", "--store", str(root), *arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if arguments[0] != "run":  # the command itself runs all the same
            assert done.returncode == 3, done
        assert "99" in done.stderr
        assert "Traceback" not in done.stderr
    assert {path: path.stat().st_mtime_ns for path in (root, *root.rglob("*"))} == before


def test_T24_a_store_that_becomes_newer_under_a_writer_is_left_alone(store_path: Path) -> None:
    store = LocalStore(store_path, SystemClock(), Disk())
    newer = open_store(store_path, SystemClock())
    newer.put_bytes(b"x")
    _overwrite(store_path / "FORMAT", b'{"format":99,"store_id":"x"}\n')
    with pytest.raises(StoreVersionError):
        store.put_bytes(b"y")


@pytest.fixture(autouse=True)
def _readable_again(tmp_path: Path) -> Iterator[None]:
    yield
    for path in tmp_path.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
