"""The content of loads: digests that are right, or missing with a reason, and never a wait."""

import os
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest
from intercept.loading import digest, digest_of_tree

from instrument import intercept
from instrument.intercept.content import MAX_FILES, MAX_MEMORY_BYTES, Content
from instrument.intercept.worker import worker
from instrument.protocols import Objects
from instrument.records import ContentIdentified
from instrument.testing import MemoryBackend
from instrument.testing.interceptor_contract import Told
from instrument.vocabulary import File


class Slow(MemoryBackend):
    """Objects whose digests take until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.go = threading.Event()

    def identify(self, path: Path) -> File:
        self.begun.set()
        assert self.go.wait(20)
        return super().identify(path)


def identified(
    *sources: Path | bytes, requested: str | None = None, objects: Objects | None = None
) -> ContentIdentified:
    told = Told()
    content = Content(1, objects or MemoryBackend(), told)
    for source in sources:
        if isinstance(source, bytes):
            content.add_bytes(source)
        else:
            content.add(source)
    content.finish(requested)
    assert content.wait(20)
    assert not told.problems
    (record,) = told.records
    assert isinstance(record, ContentIdentified)
    return record


def written(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_digest_of_a_tree_is_what_sha256sum_gives_by_hand(tmp_path: Path) -> None:
    names = ["b.txt", "a/z.txt", "a.txt", "a\\b.txt", "with space.txt", "ünï.txt", "new\nline"]
    files = [written(tmp_path / "tree" / name, name) for name in names]
    found = identified(*files, requested=str(tmp_path / "tree"))
    assert found.digest == digest_of_tree(tmp_path / "tree", *names)
    assert [file.path for file in found.files] == sorted(names)


def test_one_file_has_its_own_digest_and_is_counted_once(tmp_path: Path) -> None:
    file = written(tmp_path / "f")
    found = identified(file, file, Path(os.path.relpath(file)))
    assert (found.digest, len(found.files)) == (digest(file), 1)


def test_bytes_have_a_digest_unless_they_are_too_many(tmp_path: Path) -> None:
    assert identified(b"x").digest == digest(written(tmp_path / "f"))
    found = identified(b"\0" * (MAX_MEMORY_BYTES + 1))
    assert found.digest is None
    assert "in memory" in (found.reason or "")


def test_t28_a_file_that_changes_while_it_is_loaded_has_no_digest(tmp_path: Path) -> None:
    for change in (
        lambda file: file.write_text("longer"),
        lambda file: written(tmp_path / "new", "y").replace(file),
        lambda file: os.utime(file, (1, 1)),
    ):
        file = written(tmp_path / "f")
        objects, told = Slow(), Told()
        content = Content(1, objects, told)
        content.add(file)
        assert objects.begun.wait(20)
        change(file)
        objects.go.set()
        content.finish(None)
        assert content.wait(20)
        (record,) = told.records
        assert isinstance(record, ContentIdentified)
        assert (record.digest, record.files[0].digest) == (None, "")
        assert record.reason == "f: changed while it was loaded"


def test_t28_a_file_that_goes_away_is_told(tmp_path: Path) -> None:
    file = written(tmp_path / "f")
    objects, told = Slow(), Told()
    content = Content(1, objects, told)
    content.add(file)
    file.unlink()
    objects.go.set()
    content.finish(None)
    assert content.wait(20)
    (record,) = told.records
    assert isinstance(record, ContentIdentified)
    assert record.digest is None
    assert "f: " in (record.reason or "")


@pytest.mark.timeout(60)
def test_t29_what_is_no_regular_file_is_passed_over_with_a_reason(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "fifo", tmp_path / "socket", Path("/dev/zero"), tmp_path):
            found = identified(path)
            assert found.digest is None
            assert "is no regular file" in (found.reason or "")
    for path in (Path("https://example.org/model.bin"), tmp_path / "not there", Path("x" * 5000)):
        assert "was not there" in (identified(path).reason or "")


@pytest.mark.timeout(60)
def test_t29_a_sparse_file_of_ten_terabytes_is_passed_over(tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        try:
            file.truncate(10 << 40)
        except OSError as error:
            pytest.skip(f"this file system has no such files: {error}")
    found = identified(huge)
    assert found.digest is None
    assert "too long to hash" in (found.reason or "")


@pytest.mark.timeout(120)
def test_t29_more_files_than_are_told_are_counted() -> None:
    told = Told()
    content = Content(1, MemoryBackend(), told)
    for number in range(100_000):
        content.add(Path(f"/nowhere/{number:06}.bin"))
    content.finish("/nowhere")
    assert content.wait(60)
    (record,) = told.records
    assert isinstance(record, ContentIdentified)
    assert (len(record.files), record.digest) == (MAX_FILES, None)
    assert f"{100_000 - MAX_FILES} files more" in (record.reason or "")
    assert len(record.reason or "") < 2_000


def test_a_load_does_not_wait_for_its_hash(tmp_path: Path) -> None:
    objects, told = Slow(), Told()
    content = Content(1, objects, told)
    content.add(written(tmp_path / "f"))
    content.finish(None)
    assert not told.records
    objects.go.set()
    assert content.wait(20)


def test_what_is_late_when_the_run_ends_is_told_as_it_is_and_once(tmp_path: Path) -> None:
    import instrument.intercept.loads  # noqa: F401 - loaded by the first load of a program

    objects, told = Slow(), Told()
    content = Content(1, objects, told)
    content.add(written(tmp_path / "f"))
    content.finish(None)
    before = time.monotonic()
    intercept.complete(told, 0.05)
    assert time.monotonic() - before < 10
    (record,) = told.records
    assert isinstance(record, ContentIdentified)
    assert record.reason == "f: was not hashed when the run ended"
    assert len(told.problems) == 1
    objects.go.set()
    done = threading.Event()
    worker.submit(done.set)
    assert done.wait(20)
    assert len(told.records) == 1


def test_a_digest_is_remembered_for_a_file_that_has_not_changed(tmp_path: Path) -> None:
    from instrument.clock import SystemClock
    from instrument.registry import open_store

    store = open_store("local", tmp_path / "store", SystemClock())
    file = written(tmp_path / "f", "x" * 1_000_000)
    os.utime(file, (1, 1))
    time.sleep(2.1)  # until then its times would not show a change
    first = identified(file, objects=store)
    status = file.stat()
    with file.open("r+b") as opened:  # other bytes, and every time as it was but one
        opened.write(b"y")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert identified(file, objects=store).digest == digest(file) != first.digest


def test_a_file_under_links_is_named_by_the_link(tmp_path: Path) -> None:
    target = written(tmp_path / "blobs" / "abc")
    link = tmp_path / "model" / "weights.bin"
    link.parent.mkdir()
    link.symlink_to(target)
    found = identified(link, written(tmp_path / "model" / "config.json"))
    assert [file.path for file in found.files] == ["config.json", "weights.bin"]
    shutil.rmtree(tmp_path / "blobs")
    assert "was not there" in (identified(link).reason or "")
