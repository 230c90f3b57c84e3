"""Objects as files: plain, private, once, healed, never followed, never read twice."""

import errno
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from local.faulty_disk import FaultyDisk

from instrument import ExperimentContext
from instrument.audit import Repaired
from instrument.clock import SystemClock
from instrument.errors import IntegrityError, NotFoundError, StoreError
from instrument.records import Problem, RunFinished
from instrument_local import LocalStore, open_store
from instrument_local.mounts import mount_of

MIB = 1024 * 1024


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    return open_store(store_path, SystemClock())


def _object(store: LocalStore, digest: str) -> Path:
    path = store.path_of(digest)
    assert path is not None
    return path


def test_an_object_is_a_plain_file_that_sha256sum_verifies(store: LocalStore) -> None:
    path = _object(store, store.put_bytes(b"plain"))
    said = subprocess.run(["sha256sum", path], check=True, capture_output=True, text=True).stdout
    assert said.split()[0] == path.name
    assert path.parent.name == path.name[:2]
    assert path.stat().st_mode & 0o777 == 0o444
    assert path.stat().st_nlink == 1
    assert list(Path(store.location, "tmp").iterdir()) == []


def test_a_damaged_object_is_healed_by_storing_it_again(store: LocalStore, tmp_path: Path) -> None:
    for put in (store.put_bytes, lambda data: store.put_file(_source(tmp_path, data)).digest):
        digest = put(b"content")
        path = _object(store, digest)
        path.chmod(0o600)
        path.write_bytes(b"CONTENT")
        with pytest.raises(IntegrityError):
            store.get_bytes(digest)
        assert put(b"content") == digest
        assert store.get_bytes(digest) == b"content"


@pytest.mark.parametrize("put", ["bytes", "file", "files"])
@pytest.mark.parametrize("left", [b"CONTENT", None])
def test_a_damaged_object_that_makes_way_is_kept_aside_and_told(
    store: LocalStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    put: str,
    left: bytes | None,
) -> None:
    source = _source(tmp_path, b"content")
    path = _object(store, store.put_files([source])[0].digest)
    path.unlink()
    path.mkdir() if left is None else path.write_bytes(left)
    if put == "bytes":
        store.put_bytes(b"content")
    else:
        store.put_file(source) if put == "file" else store.put_files([source])
    assert path.read_bytes() == b"content"
    (kept,) = Path(store.location).glob(f"quarantine/*/objects/??/{path.name}")
    assert kept.is_dir() if left is None else kept.read_bytes() == left
    assert kept.with_name(f"{path.name}.why.json").exists()
    (event,) = (each.event for each in store.ledger.entries() if isinstance(each.event, Repaired))
    assert (event.path, event.kind, event.action) == (
        f"objects/{path.name[:2]}/{path.name}",
        "object_changed",
        "quarantined",
    )
    (told,) = capsys.readouterr().err.splitlines()
    what = "could not be read" if left is None else "was damaged"
    assert told.startswith(f"instrument: object sha256:{path.name} {what}; ")
    assert store.verify().problems == ()


@pytest.mark.faults
def test_whatever_fails_while_a_damaged_object_makes_way_its_bytes_are_kept(
    store: LocalStore, tmp_path: Path
) -> None:
    path = _object(store, store.put_bytes(b"content"))
    path.unlink()
    path.write_bytes(b"CONTENT")
    for fail in range(1, 200):
        root = shutil.copytree(store.location, tmp_path / f"{fail}")
        disk = FaultyDisk(fail, forever=True)
        with suppress(StoreError):
            LocalStore(root, SystemClock(), disk).put_bytes(b"content")
        lies = root / path.relative_to(store.location)
        assert b"CONTENT" in {each.read_bytes() for each in root.rglob(path.name)}
        assert lies.read_bytes() in {b"content", b"CONTENT"}, "its name is never free"
        open_store(root, SystemClock()).put_bytes(b"content")
        assert lies.read_bytes() == b"content"
        if disk.calls < fail:
            return
    pytest.fail("it never came through")


def test_the_run_that_stores_a_damaged_object_anew_has_it_on_record(
    store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = _source(store_path.parent, b"content")
    with ExperimentContext(store=store_path) as run:
        digest = run.log_artifact("a", file_path=source).digest
    path = _object(open_store(store_path, SystemClock()), digest)
    path.chmod(0o600)
    path.write_bytes(b"CONTENT")
    with ExperimentContext(store=store_path) as run:
        run.log_artifact("a", file_path=source)
    entries = list(open_store(store_path, SystemClock()).entries(run.id))
    told, _ = (each.record for each in entries if isinstance(each.record, Problem | RunFinished))
    assert isinstance(told, Problem), "told before its end"
    assert digest in told.message
    assert digest in capsys.readouterr().err


def _source(directory: Path, data: bytes, age_seconds: float = 0) -> Path:
    path = directory / "source.bin"
    path.write_bytes(data)
    if age_seconds:
        moment = time.time() - age_seconds
        os.utime(path, (moment, moment))
    return path


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 32 * MIB, 32 * MIB + 1, 70 * MIB + 123])
def test_files_of_all_sizes(store: LocalStore, tmp_path: Path, size: int) -> None:
    data = os.urandom(min(size, MIB)) * (size // MIB + 1)
    source = _source(tmp_path, data[:size])
    file = store.put_file(source)
    assert file.digest == f"sha256:{hashlib.sha256(data[:size]).hexdigest()}"
    assert file.size_bytes == size
    assert store.verify().ok


@pytest.mark.parametrize("code", [errno.EXDEV, errno.ENOSYS])
def test_where_the_kernel_cannot_copy_we_do(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "copy_file_range", refuse)
    for size in (1000, 40 * MIB):
        source = _source(tmp_path, b"z" * size)
        assert store.put_file(source).size_bytes == size
    assert store.verify().ok


def test_a_file_that_says_it_is_empty_is_read_all_the_same(store: LocalStore) -> None:
    file = store.put_file(Path("/proc/version"))
    assert store.get_bytes(file.digest) == Path("/proc/version").read_bytes()
    assert file.size_bytes > 10


def test_a_fault_of_the_copy_reaches_the_caller(store_path: Path, tmp_path: Path) -> None:
    source = _source(tmp_path, b"z" * (40 * MIB))
    store = LocalStore(store_path, SystemClock(), FaultyDisk(1, errno.EIO, only=("fsync",)))
    with pytest.raises(StoreError, match="Input/output error"):
        store.put_file(source)
    with pytest.MonkeyPatch.context() as patch:

        def fail(*_: object) -> int:
            raise OSError(errno.EIO, "Input/output error")

        patch.setattr(os, "copy_file_range", fail)
        with pytest.raises(StoreError, match="Input/output error"):
            store.put_file(source)
    assert list((store_path / "tmp").iterdir()) == []


def test_an_unchanged_file_is_not_read_again(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not mount_of(tmp_path).stamps_mapped_writes:
        pytest.skip("SKIPPED LOUDLY: the tests lie in memory, where files are read each time")
    monkeypatch.setattr("instrument_local.hashes._SETTLED_NS", 0)  # do not wait two seconds
    source = _source(tmp_path, b"data" * 1000)
    first = store.put_file(source)

    def refuse(*_: object) -> str:
        raise AssertionError("read again")

    for name in ("copy_and_hash", "hash_file"):
        monkeypatch.setattr(f"instrument_local.ingest.{name}", refuse)
    assert store.put_file(source) == first
    again = open_store(Path(store.location), SystemClock())
    assert again.put_file(source) == first
    renamed = source.rename(tmp_path / "renamed")
    monkeypatch.undo()
    assert store.put_file(renamed).digest == first.digest


def test_a_file_with_the_same_size_and_times_that_changed_just_now_is_read(
    store: LocalStore, tmp_path: Path
) -> None:
    source = _source(tmp_path, b"one")
    status = source.stat()
    assert store.get_bytes(store.put_file(source).digest) == b"one"
    source.write_bytes(b"two")
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert store.get_bytes(store.put_file(source).digest) == b"two"


def test_an_object_that_was_removed_is_stored_again(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instrument_local.hashes._SETTLED_NS", 0)
    source = _source(tmp_path, b"data")
    file = store.put_file(source)
    shutil.rmtree(Path(store.location) / "objects" / file.digest[7:9])
    assert store.put_file(source) == file
    assert store.get_bytes(file.digest) == b"data"


def test_a_changed_object_is_noticed_although_its_digest_was_remembered(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instrument_local.hashes._SETTLED_NS", 0)
    source = _source(tmp_path, b"data")
    file = store.put_file(source)
    path = _object(store, file.digest)
    path.chmod(0o600)
    path.write_bytes(b"atad")
    assert store.put_file(source) == file
    assert store.get_bytes(file.digest) == b"data"


def test_pipes_sockets_and_devices_are_no_files_and_do_not_block(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        for path in (tmp_path / "pipe", tmp_path / "socket", Path("/dev/zero"), Path("a\0b")):
            with pytest.raises(NotFoundError):
                store.put_file(path)


def test_memory_stays_bounded(store_path: Path, tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as stream:
        stream.truncate(600 * MIB)
    script = (
        "import sys; from pathlib import Path\n"
        "from instrument.clock import SystemClock; from instrument_local import open_store\n"
        "store = open_store(Path(sys.argv[1]), SystemClock())\n"
        "file = store.put_file(Path(sys.argv[2])); store.open(file.digest).close()\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(status.split('VmHWM:')[1].split()[0])\n"
    )
    command = [sys.executable, "-c", script, str(store_path), str(big)]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(said.stdout) < 70 * 1024  # KiB; the file has 600 MiB


def test_a_reader_keeps_its_object_while_others_write(store: LocalStore) -> None:
    digest = store.put_bytes(b"x" * MIB)
    stop = threading.Event()

    def write() -> None:
        count = 0
        while not stop.is_set():
            count += 1
            store.put_bytes(b"%d" % count)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(30):
            with store.open(digest) as stream:
                assert len(stream.read()) == MIB
    finally:
        stop.set()
        thread.join()
