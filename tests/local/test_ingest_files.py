"""Many files at once: order, durability, faults, and files that do not hold still."""

import errno
import hashlib
import mmap
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from faults.small_disk import in_a_file, in_memory
from local.faulty_disk import CALLS, FaultyDisk

from instrument.clock import SystemClock
from instrument.errors import IntegrityError, StoreError
from instrument_local import LocalStore, copying, hashes, open_store

MIB = 1024 * 1024


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    return open_store(store_path, SystemClock())


def _many(directory: Path, count: int) -> list[Path]:
    directory.mkdir(exist_ok=True)
    paths = [directory / f"{number}.bin" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(b"%d" % (number // 2))  # every content twice
    return paths


class WatchedDisk(FaultyDisk):
    """Notes which files were synced when, by the calls that name them."""

    def __init__(self, root: Path) -> None:
        super().__init__(only=())
        self.synced: set[int] = set()
        self.unsynced_when_linked: list[Path] = []
        self.linked: set[Path] = set()
        link, fsync = self.link, self.fsync

        def watched_fsync(fd: int) -> None:
            fsync(fd)
            self.synced.add(os.fstat(fd).st_ino)

        def watched_link(source: Path, target: Path) -> None:
            if source.stat().st_ino not in self.synced:
                self.unsynced_when_linked.append(target)
            link(source, target)
            self.linked.add(target.parent)
            self.synced.discard(target.parent.stat().st_ino)

        self.link, self.fsync = watched_link, watched_fsync


def test_each_copy_is_synced_before_it_is_named_and_each_name_before_the_return(
    store_path: Path, tmp_path: Path
) -> None:
    disk = WatchedDisk(store_path)
    store = LocalStore(store_path, SystemClock(), disk)
    store.put_files([*_many(tmp_path / "many", 300), _sparse(tmp_path / "large", 20 * MIB)])
    assert disk.unsynced_when_linked == []
    assert len(disk.linked) > 50
    assert {directory.stat().st_ino for directory in disk.linked} <= disk.synced


def test_a_directory_is_synced_once_however_many_objects_it_gets(
    store_path: Path, tmp_path: Path
) -> None:
    paths = _many(tmp_path / "many", 1200)
    disk = FaultyDisk(only=("fsync",))
    LocalStore(store_path, SystemClock(), disk).put_files(paths)
    assert disk.calls < 1200 + 256 + 20


def test_what_was_stored_before_a_failure_is_whole_and_nothing_lies_about(
    store: LocalStore, tmp_path: Path
) -> None:
    paths = _many(tmp_path / "many", 200)
    paths[150].chmod(0)
    if os.access(paths[150], os.R_OK):
        paths[150].unlink()
        paths[150].symlink_to("/proc/self/mem")  # a regular file that not even root can read
    with pytest.raises(StoreError, match=r"cannot store .*150\.bin: "):
        store.put_files(paths)
    assert list(Path(store.location, "tmp").iterdir()) == []
    assert store.verify().ok


@pytest.mark.faults
@pytest.mark.parametrize(("code", "forever"), [(errno.ENOSPC, False), (errno.EIO, True)])
def test_every_call_to_the_disk_may_fail(tmp_path: Path, code: int, forever: bool) -> None:
    paths = [*_many(tmp_path / "many", 3), _sparse(tmp_path / "large", 9 * MIB)]
    only = CALLS if forever else tuple(set(CALLS) - {"unlink"})
    for number in range(1, 200):
        disk = FaultyDisk(number, code, forever=forever, only=only)
        path = tmp_path / f"store-{number}"
        with suppress(StoreError):
            LocalStore(path, SystemClock(), disk).put_files(paths)
        if disk.calls < disk.fail:
            return
        if not forever:
            assert not list(path.glob("tmp/*")), number
        store = open_store(path, SystemClock())
        assert store.verify().ok, number
        for source, file in zip(paths, store.put_files(paths), strict=True):
            assert store.get_bytes(file.digest) == source.read_bytes()
    pytest.fail("the operation makes more than 200 calls")


def test_a_full_disk_in_the_middle_of_a_batch_leaves_nothing(tmp_path: Path) -> None:
    with in_memory(tmp_path / "small", "4m") as place:
        store = open_store(place / "store", SystemClock())
        large = [tmp_path / f"{number}.bin" for number in range(80)]
        for path in large:
            path.write_bytes(os.urandom(100_000))
        with pytest.raises(StoreError, match="No space left on device"):
            store.put_files(large)
        assert list((place / "store" / "tmp").iterdir()) == []
        assert store.verify().ok


def test_a_file_that_never_holds_still_is_told(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "moving"
    path.write_bytes(b"start")
    copy = copying.copy_and_hash

    def append_after(*arguments: Any) -> tuple[str, int]:
        result = copy(*arguments)
        with path.open("ab") as stream:
            stream.write(b" more")
        return result

    monkeypatch.setattr("instrument_local.ingest.copy_and_hash", append_after)
    with pytest.raises(StoreError, match="moving changed while it was read, 3 times"):
        store.put_files([path])
    assert list(Path(store.location, "tmp").iterdir()) == []
    file = store.put_file(path)  # which promises less
    assert store.get_bytes(file.digest) == b"start more more more"


def test_a_file_that_changed_once_is_read_again(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    copy = copying.copy_and_hash

    def append_after(*arguments: Any) -> tuple[str, int]:
        result = copy(*arguments)
        if path.stat().st_size < 8:
            with path.open("ab") as stream:
                stream.write(b"two\n")
        return result

    monkeypatch.setattr("instrument_local.ingest.copy_and_hash", append_after)
    (file,) = store.put_files([path])
    assert store.get_bytes(file.digest) == b"one\ntwo\n"


def _sparse(path: Path, size: int) -> Path:
    """A file with a hole, some bytes, and a hole at the end."""
    with path.open("wb") as stream:
        stream.seek(size // 2)
        stream.write(b"in the middle")
        stream.truncate(size)
    return path


@pytest.mark.parametrize("size", [300_000, 40 * MIB])
def test_holes_stay_holes(store: LocalStore, tmp_path: Path, size: int) -> None:
    path = _sparse(tmp_path / "sparse", size)
    if path.stat().st_blocks * 512 > size // 2:
        pytest.skip("the file system of the tests has no holes")
    (file,) = store.put_files([path])
    assert file.digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    kept = store.path_of(file.digest)
    assert kept is not None
    assert kept.stat().st_size == size
    assert kept.stat().st_blocks * 512 < 100_000


def test_an_empty_hole_is_a_file_too(store: LocalStore, tmp_path: Path) -> None:
    path = tmp_path / "hole"
    with path.open("wb") as stream:
        stream.truncate(MIB)
    (file,) = store.put_files([path])
    assert store.get_bytes(file.digest) == b"\0" * MIB


def test_a_change_within_one_tick_of_a_coarse_clock_is_not_missed(
    store: LocalStore, tmp_path: Path
) -> None:
    """On ext4 with small inodes all times are whole seconds."""
    make = ("mkfs.ext4", "-q", "-F", "-I", "128")
    with in_a_file(tmp_path / "coarse", 4, *make) as place:
        path = place / "file"
        for count in range(20):  # at least one pair falls into one second
            for content in (b"one %d" % count, b"two %d" % count):
                path.write_bytes(content)
                (file,) = store.put_files([path])
                assert store.get_bytes(file.digest) == content


def test_a_file_that_settled_while_it_was_read_is_read_the_next_time(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is how old the times were before the reading: a change may come during it."""
    path = tmp_path / "file"
    path.write_bytes(b"data")
    copy = copying.copy_and_hash
    calls = []

    def slowly(*arguments: Any) -> tuple[str, int]:
        calls.append(arguments)
        moment = threading.Event()
        moment.wait(0.3)
        return copy(*arguments)

    monkeypatch.setattr("instrument_local.ingest.copy_and_hash", slowly)
    monkeypatch.setattr(hashes, "_SETTLED_NS", 250_000_000)
    monkeypatch.setattr("instrument_local.mounts._IN_MEMORY", frozenset())
    store.put_files([path])
    store.put_files([path])
    assert len(calls) == 2
    store.put_files([path])
    assert len(calls) == 2


def _sources_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are copied from now on."""
    copy, read = copying.copy_and_hash, list[str]()

    def noted(disk: Any, source: int, *arguments: Any) -> tuple[str, int]:
        read.append(Path(f"/proc/self/fd/{source}").readlink().name)
        return copy(disk, source, *arguments)

    monkeypatch.setattr("instrument_local.ingest.copy_and_hash", noted)
    monkeypatch.setattr(hashes, "_SETTLED_NS", -(10**9))
    monkeypatch.setattr("instrument_local.mounts._IN_MEMORY", frozenset())
    return read


def test_of_files_that_are_stored_again_only_those_are_read_that_changed(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number}.bin" for number in range(6)]
    for number, path in enumerate(paths):
        path.write_bytes(b"content %d" % number)
    read = _sources_read(monkeypatch)
    objects = [store.path_of(file.digest) for file in store.put_files(paths)]
    harmed, gone, touched, whole = (each for each in objects[:4] if each is not None)
    read.clear()
    store.put_files(paths)
    assert read == []
    harmed.chmod(0o600)
    harmed.write_bytes(b"another 0")
    gone.unlink()
    os.utime(touched)
    paths[4].write_bytes(b"changed 4")
    for expected in (["0.bin", "1.bin", "2.bin", "4.bin"], []):
        read.clear()
        files = store.put_files(paths)
        assert sorted(read) == expected
    assert [store.get_bytes(file.digest) for file in files] == [p.read_bytes() for p in paths]
    assert whole.exists()


def test_files_that_were_stored_before_one_failed_are_not_read_again(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = _many(tmp_path / "files", 400)
    read = _sources_read(monkeypatch)

    def lose_the_last(_: int) -> None:
        paths[-1].unlink(missing_ok=True)

    with pytest.raises(StoreError, match="No such file"):
        store.put_files(paths, lose_the_last)
    first = set(read)
    read.clear()
    store.put_files(paths[:-1])
    assert len(read) <= 64, "one batch: that of the file that was gone"
    assert first | set(read) == {path.name for path in paths[:-1]}


def test_files_that_two_stores_have_are_not_read_again_for_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = _many(tmp_path / "files", 8)
    stores = [open_store(tmp_path / name, SystemClock()) for name in ("one", "two")]
    read = _sources_read(monkeypatch)
    for store in stores:
        store.put_files(paths)
    read.clear()
    for store in (*stores, *stores):
        files = store.put_files(paths)
        assert [store.get_bytes(file.digest) for file in files] == [p.read_bytes() for p in paths]
    assert read == []


@pytest.mark.parametrize("modified_s", [-(2**31), 0, 2**33, 2**34])
def test_a_file_may_be_of_any_time(store: LocalStore, tmp_path: Path, modified_s: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"data")
    os.utime(path, (modified_s, modified_s))
    for _ in range(2):
        assert store.identify(path).size_bytes == 4
        assert store.get_bytes(store.put_files([path])[0].digest) == b"data"


@pytest.fixture(params=["on disk", "in memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system of either kind."""
    if request.param == "on disk":
        yield tmp_path
        return
    memory = Path("/dev/shm")  # noqa: S108 - the one place in memory that systems have
    if not memory.is_dir():
        pytest.skip("SKIPPED LOUDLY: there is no /dev/shm")
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        yield Path(directory)


def test_what_a_program_writes_to_its_mapped_memory_is_seen(
    store: LocalStore, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that takes writes already takes the next ones without a new time for the file."""
    monkeypatch.setattr(hashes, "_SETTLED_NS", 50_000_000)
    path = place / "features.bin"
    path.write_bytes(bytes(5 * mmap.PAGESIZE))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as features:
        for number in range(1, 5):
            features[mmap.PAGESIZE] = number
            time.sleep(0.2)
            digest = f"sha256:{hashlib.sha256(features[:]).hexdigest()}"
            assert store.identify(path).digest == digest
            assert store.put_file(path).digest == digest
            assert store.put_files([path])[0].digest == digest
            assert store.get_bytes(digest) == features[:]


def _key(device: int, inode: int, changed: int) -> hashes.Key:
    times = {"st_atime_ns": 0, "st_mtime_ns": 5, "st_ctime_ns": changed}
    return hashes.key_of(os.stat_result((0o100644, inode, device, 1, 0, 0, 7, 0, 0, 0), times))


@pytest.mark.parametrize("step", [1, 3, 40])
@pytest.mark.parametrize("devices", [1, 2])
def test_the_hash_cache_knows_what_it_was_told_and_no_other_state(step: int, devices: int) -> None:
    keys = [_key(device=n % devices, inode=n, changed=n) for n in range(4000)]
    cache = hashes.HashCache()
    cache.put((key, f"digest {key.hex()}", None) for key in keys)
    asked = keys[::step][::-1]
    changed = [_key(n % devices, n, n + 1) for n in range(4000)][::step][::-1]
    assert hashes.HashCache().get(asked) == [f"digest {key.hex()}" for key in asked]
    assert hashes.HashCache().get(changed) == [None] * len(asked)


def test_a_large_object_is_hashed_once_in_a_process_unless_it_changes(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashes, "_SETTLED_NS", 0)
    hashed = []

    def hash_and_count(fd: int) -> str:
        hashed.append(fd)
        return copying.hash_file(fd)

    monkeypatch.setattr("instrument_local.objects.hash_file", hash_and_count)
    digest = store.put_bytes(b"x" * 2 * MIB)
    for _ in range(3):
        store.open(digest).close()
    assert len(hashed) == 1
    path = store.path_of(digest)
    assert path is not None
    path.chmod(0o600)
    path.write_bytes(b"y" * 2 * MIB)
    with pytest.raises(IntegrityError):
        store.open(digest)
    assert not store.verify().ok


def test_progress_counts_every_byte_once(store: LocalStore, tmp_path: Path) -> None:
    paths = [*_many(tmp_path / "many", 100), _sparse(tmp_path / "large", 20 * MIB)]
    size = sum(path.stat().st_size for path in paths)
    for _ in range(2):
        told: list[int] = []
        store.put_files(paths, told.append)
        assert sum(told) == size
