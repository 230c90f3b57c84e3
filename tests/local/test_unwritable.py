"""Stores that can be read only, not at all, or only by a newer version."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from instrument.clock import SystemClock
from instrument.errors import NotFoundError, StoreError, StoreVersionError
from instrument.naming import parse_reference
from instrument.query import parse
from instrument.records import Metrics
from instrument.testing.samples import AT, draft, process_started, record_run, run_started
from instrument.vocabulary import RunState
from instrument_local import LocalStore, open_store

RUN = "20260304-050607-0123456789ab"


def _filled(path: Path) -> LocalStore:
    store = open_store(path, SystemClock())
    store.put_bytes(b"weights")
    store.claim(draft("model", b"weights"))
    record_run(store, RUN, run_started("x"), Metrics(values={"loss": 0.5}, step=0))
    record_run(store, "20260304-crashed", finish=False)
    store.seal(RUN)
    return store


@pytest.fixture
def read_only(store_path: Path) -> Iterator[Path]:
    """A store with two runs on a file system that cannot be written to."""
    _filled(store_path)
    bind = ["mount", "--bind", str(store_path), str(store_path)]
    if os.getuid() != 0:
        for path in [store_path, *store_path.rglob("*")]:
            path.chmod(path.stat().st_mode & ~0o222)
        yield store_path
        for path in [store_path, *store_path.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)
        return
    if subprocess.run(bind, check=False, capture_output=True).returncode:
        pytest.skip("SKIPPED LOUDLY: root ignores permissions, and nothing can be mounted here")
    subprocess.run(["mount", "-o", "remount,bind,ro", str(store_path)], check=True)
    yield store_path
    subprocess.run(["umount", "--lazy", str(store_path)], check=True)


def test_a_read_only_store_answers_everything(read_only: Path) -> None:
    with pytest.raises(OSError, match=r"Read-only|denied"):
        (read_only / "probe").touch()
    store = open_store(read_only, SystemClock())
    assert [run.id for run in store.runs(where=parse("metrics.loss == 0.5"))] == [RUN]
    assert store.run("20260304-c").state is RunState.INTERRUPTED
    assert len(list(store.entries(RUN))) == 5
    version = store.resolve(parse_reference("model"))
    assert store.get_bytes(version.digest) == b"weights"
    assert store.put_bytes(b"weights") == version.digest  # it is there already
    result = store.verify()
    assert (result.ok, result.runs, result.objects) == (True, 2, 1)
    assert store.info()["runs"] == 2


def test_a_read_only_store_refuses_what_must_be_kept(read_only: Path) -> None:
    store = open_store(read_only, SystemClock())
    with pytest.raises(StoreError):
        store.put_bytes(b"new")
    with pytest.raises(StoreError):
        store.claim(draft("model", b"new"))
    with pytest.raises(StoreError):
        store.tag(parse_reference("model"), "best", AT)
    with pytest.raises(StoreError):
        store.seal("20260304-crashed")


@pytest.fixture(params=["read-only", "not ours"])
def unwritable(request: pytest.FixtureRequest) -> Path:
    if request.param == "read-only":
        return Path(request.getfixturevalue("read_only"))
    return Path("/proc/self/store")


def test_a_store_that_cannot_be_written_never_raises_into_the_run(unwritable: Path) -> None:
    store = open_store(unwritable, SystemClock())
    journal = store.begin(process_started("20260304-new"))
    for step in range(5):
        journal.take(Metrics(values={"loss": 0.5}, step=step), AT)
    journal.flush()
    journal.close()
    assert journal.lost == 6
    with pytest.raises(NotFoundError):
        store.run("20260304-new")
    with pytest.raises(StoreError):
        store.seal("20260304-new")
    with pytest.raises(StoreError):
        store.put_bytes(b"new")


def test_a_store_that_cannot_be_a_directory_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "store"):
        with pytest.raises(StoreError, match="Not a directory"):
            open_store(path, SystemClock())


def test_a_store_of_a_newer_version_is_refused_and_left_alone(store_path: Path) -> None:
    _filled(store_path)
    path = store_path / "FORMAT"
    content = json.loads(path.read_bytes())
    path.unlink()
    path.write_text(json.dumps(content | {"format": 2}))
    before = sorted((file, file.stat().st_mtime_ns) for file in store_path.rglob("*"))
    with pytest.raises(StoreVersionError, match="install a newer instrument-ml"):
        open_store(store_path, SystemClock())
    assert sorted((file, file.stat().st_mtime_ns) for file in store_path.rglob("*")) == before


def test_a_store_that_became_newer_meanwhile_is_not_written_to(store_path: Path) -> None:
    store = open_store(store_path, SystemClock())
    store_path.mkdir()
    (store_path / "FORMAT").write_text('{"format":7,"store_id":"x"}')
    journal = store.begin(process_started(RUN))
    journal.close()
    assert journal.lost == 1
    with pytest.raises(StoreVersionError):
        store.put_bytes(b"x")
    assert [path.name for path in store_path.rglob("*") if path.is_file()] == ["FORMAT"]


@pytest.mark.parametrize("content", [b"", b"garbage", b'{"format":"one"}', b"\xff\xfe"])
def test_a_damaged_format_is_refused(store_path: Path, content: bytes) -> None:
    store_path.mkdir()
    (store_path / "FORMAT").write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        open_store(store_path, SystemClock())
