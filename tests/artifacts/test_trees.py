"""Directory trees, and that `sha256sum` verifies them by hand."""

import hashlib
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from instrument import ExperimentContext, registry
from instrument.artifacts import use
from instrument.artifacts.trees import listing
from instrument.clock import SystemClock
from instrument.errors import StoreError, UsageError
from instrument.protocols import Store
from instrument_local import copying

NAMES = [
    "plain.txt",
    "with space",
    "ünïcode-ß.bin",
    "-leading-dash",
    "*star",
    "back\\slash",
    "new\nline",
    "carriage\rreturn",
    "Upper",
    "a/b/c.txt",
    "a/b.txt",
    "a-b",
    "a.b/x",
    "emoji-\U0001f600",
]


@pytest.fixture
def store(any_store: Store) -> Store:
    return any_store


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for index, name in enumerate(NAMES):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"content {index}".encode())
    (root / "empty" / "directory").mkdir(parents=True)
    return root


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_a_tree_comes_back_as_it_was(store: Store, log: Any, tree: Path) -> None:
    version = log(file_path=tree, name="data", type="dataset")
    artifact = use(store, version.ref)
    assert version.is_tree
    assert version.format is None
    assert version.size_bytes == sum(len(content) for content in contents(tree).values())
    assert contents(artifact.path()) == contents(tree)
    assert artifact.load() == artifact.path()


def test_sha256sum_prints_the_listing(store: Store, log: Any, tree: Path) -> None:
    version = log(file_path=tree)
    found = sorted(contents(tree), key=lambda name: name.encode())
    printed = subprocess.run(
        ["sha256sum", "--", *found], cwd=tree, check=True, capture_output=True
    ).stdout
    assert store.get_bytes(version.digest) == printed
    assert version.digest == f"sha256:{hashlib.sha256(printed).hexdigest()}"
    assert [file.path for file in version.files] == found


def test_sha256sum_verifies_a_copy(store: Store, log: Any, tree: Path, tmp_path: Path) -> None:
    artifact = use(store, log(file_path=tree).ref)
    copy = artifact.copy_to(tmp_path / "copy")
    sums = tmp_path / "sums"
    sums.write_bytes(store.get_bytes(artifact.digest))
    check = ["sha256sum", "-c", "--strict", "--quiet", str(sums)]
    assert subprocess.run(check, cwd=copy, check=False).returncode == 0
    (copy / "plain.txt").write_text("changed")
    assert subprocess.run(check, cwd=copy, check=False, capture_output=True).returncode == 1


def test_one_moved_byte_or_name_is_another_tree(log: Any, tree: Path) -> None:
    first = log(file_path=tree)
    assert log(file_path=tree).version == 1
    (tree / "Upper").rename(tree / "upper")
    assert log(file_path=tree).version == 2
    (tree / "upper").rename(tree / "Upper")
    assert log(file_path=tree).digest == first.digest


def test_symlinks_to_files_are_their_content(log: Any, store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "blob"
    outside.write_bytes(b"far")
    root = tmp_path / "snapshot"
    root.mkdir()
    (root / "real").write_bytes(b"near")
    (root / "inside").symlink_to("real")
    (root / "outside").symlink_to(outside)
    artifact = use(store, log(file_path=root).ref)
    copy = artifact.copy_to(tmp_path / "copy")
    assert contents(copy) == {"real": b"near", "inside": b"near", "outside": b"far"}
    assert not (copy / "outside").is_symlink()


def test_what_is_no_file_is_refused_by_name(log: Any, tmp_path: Path) -> None:
    roots = {name: tmp_path / name / "tree" for name in ("loop", "ring", "gone", "pipe", "socket")}
    for root in roots.values():
        root.mkdir(parents=True)
        (root / "file").write_text("x")
    (roots["loop"] / "up").symlink_to("..")
    (roots["ring"] / "one").symlink_to("two")
    (roots["ring"] / "two").symlink_to("one")
    (roots["gone"] / "to").symlink_to("nowhere")
    os.mkfifo(roots["pipe"] / "fifo")
    bind(roots["socket"] / "server")
    for name, reason in [
        ("loop", "up is a symlink to a directory; put the directory itself in its place"),
        ("ring", "(one|two) is a symlink that points to nothing"),
        ("gone", "to is a symlink that points to nothing"),
        ("pipe", "fifo is neither a file nor a directory"),
        ("socket", "server is neither a file nor a directory"),
    ]:
        with pytest.raises(StoreError, match=reason):
            log(file_path=roots[name])


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def test_a_file_that_cannot_be_read_is_named(log: Any, store: Store, tmp_path: Path) -> None:
    if store.location == "memory":
        pytest.skip("a store in memory lets the error through as it is")
    root = tmp_path / "tree"
    root.mkdir()
    for number in range(100):
        (root / f"{number}.txt").write_text("x")
    (root / "secret").symlink_to("/proc/self/mem")  # of which not even root can read the start
    with pytest.raises(OSError, match=r"/proc/.*mem: Input/output error"):
        log(file_path=root)


def test_a_tree_that_is_written_to_is_no_version_and_the_run_says_so(
    store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "still").write_text("x")
    (root / "moving").write_text("y")
    copy = copying.copy_and_hash

    def append_after(*arguments: Any) -> tuple[str, int]:
        with (root / "moving").open("a") as stream:
            stream.write("more")
        return copy(*arguments)

    monkeypatch.setattr("instrument_local.ingest.copy_and_hash", append_after)
    with ExperimentContext(capture_level=1) as run:
        version = run.log_artifact("data", file_path=root)
    assert version.version is None
    local = registry.open_store("local", store_path, SystemClock())
    problems = " ".join(local.run(run.id).recording.problems)
    assert "moving changed while it was read, 3 times" in problems
    assert list(local.artifacts()) == []


def test_a_name_that_is_not_utf8_is_refused(log: Any, tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    Path(os.fsdecode(os.fsencode(root) + b"/\xff")).write_text("x")
    with pytest.raises(StoreError, match="UTF-8"):
        log(file_path=root)


def test_a_tree_without_files_is_refused(log: Any, tmp_path: Path) -> None:
    (tmp_path / "tree" / "empty").mkdir(parents=True)
    with pytest.raises(StoreError, match="no files"):
        log(file_path=tmp_path / "tree")


def test_the_store_does_not_swallow_itself(log: Any, store: Store, tmp_path: Path) -> None:
    if store.location == "memory":
        pytest.skip("a store in memory lies nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="holds the store"):
        log(file_path=tmp_path)


def test_many_files_in_threads_keep_their_order(store: Store, log: Any, tmp_path: Path) -> None:
    root = tmp_path / "many"
    for index in range(500):
        path = root / f"{index % 7}" / f"{index}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(index))
    version = log(file_path=root)
    assert store.get_bytes(version.digest) == listing(version.files)
    assert {file.path: store.get_bytes(file.digest) for file in version.files} == contents(root)
    shutil.rmtree(root)
    assert len(contents(use(store, version.ref).path())) == 500
