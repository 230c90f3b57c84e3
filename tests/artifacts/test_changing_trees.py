"""Trees that change while they are logged, or hold what cannot be stored: the run goes on."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cli.support import as_ordinary_user, call

from instrument import ExperimentContext, registry
from instrument.artifacts import trees
from instrument.clock import SystemClock
from instrument.errors import NotFoundError, StoreError, UsageError
from instrument.protocols import Store
from instrument.vocabulary import ArtifactVersion, RunState

Break = Callable[[Path], object]


@pytest.fixture
def store(any_store: Store) -> Store:
    return any_store


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Ten checkpoints of two files each."""
    root = tmp_path / "tree"
    for number in range(10):
        fill(root / f"ck{number}")
    return root


def fill(directory: Path) -> None:
    directory.mkdir(parents=True)
    for name in ("weights", "optimizer"):
        (directory / name).write_text(f"{directory.name} {name}")


def names(version: ArtifactVersion) -> set[str]:
    return {file.path.partition("/")[0] for file in version.files}


def checkpoints(*numbers: int) -> set[str]:
    return {f"ck{number}" for number in numbers}


def logged(tree: Path, **options: Any) -> tuple[ArtifactVersion, str]:
    """What a run gets that logs `tree` and ends well, and its problems."""
    with ExperimentContext(capture_level=1, monitor_hardware=False, **options) as run:
        version = run.log_artifact("tree", file_path=tree)
    store = registry.open_store("local", Path(os.environ["INSTRUMENT_STORE"]), SystemClock())
    summary = store.run(run.id)
    assert summary.state == RunState.COMPLETED
    return version, " ".join(summary.recording.problems)


def after(monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[], object]) -> None:
    """Make `change` each time when ``trees.NAME`` has returned."""
    real = getattr(trees, name)

    def changing(*arguments: Any) -> Any:
        result = real(*arguments)
        change()
        return result

    monkeypatch.setattr(trees, name, changing)


@contextmanager
def rotating(tree: Path, pause: float) -> Iterator[None]:
    """Another process that removes the oldest checkpoint again and again, and makes a new one."""
    program = f"""
import os, shutil, sys, time
root = {str(tree)!r}
print("ready", flush=True)
for number in range(10**9):
    shutil.rmtree(f"{{root}}/ck{{number}}")
    os.mkdir(f"{{root}}/ck{{number + 10}}")
    for name in ("weights", "optimizer"):
        with open(f"{{root}}/ck{{number + 10}}/{{name}}", "w") as stream:
            stream.write(str(number))
    time.sleep({pause})
"""
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        yield
        assert child.poll() is None
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("pause", [0.0, 0.001, 0.02])
def test_checkpoints_that_rotate_end_no_run(tree: Path, store_path: Path, pause: float) -> None:
    with rotating(tree, pause), ExperimentContext(capture_level=1) as run:
        versions = [run.log_artifact("tree", file_path=tree) for _ in range(40)]
    store = registry.open_store("local", store_path, SystemClock())
    summary = store.run(run.id)
    stored = {version.ref: version for version in versions if version.version is not None}
    assert summary.state == RunState.COMPLETED
    assert all("kept changing" in problem for problem in summary.recording.problems)
    assert len(summary.recording.problems) == sum(each.version is None for each in versions)
    assert len(list(store.artifacts("tree"))) == len(stored)
    assert store.verify().ok
    if pause == 0.02:
        assert stored


def test_what_goes_away_after_the_listing_is_left_out(
    log: Any, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doomed = iter([tree / "ck3", tree / "ck4"])
    after(monkeypatch, "files_under", lambda: shutil.rmtree(next(doomed, "-"), ignore_errors=True))
    assert names(log(file_path=tree)) == checkpoints(0, 1, 2, 5, 6, 7, 8, 9)


def test_a_directory_that_goes_away_before_it_is_listed_is_left_out(
    log: Any, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after(monkeypatch, "_entries", lambda: shutil.rmtree(tree / "ck3", ignore_errors=True))
    assert names(log(file_path=tree)) == checkpoints(0, 1, 2, 4, 5, 6, 7, 8, 9)


def test_a_file_that_goes_away_before_it_is_opened_is_left_out(
    log: Any, tree: Path, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    if store.location == "memory":
        pytest.skip("a store in memory looks and reads at once")
    real = os.stat
    lost = str(tree / "ck3/weights")

    def stat(path: Any, **options: Any) -> os.stat_result:
        result = real(path, **options)
        if path == lost:
            (tree / "ck3/weights").unlink()
        return result

    monkeypatch.setattr("instrument_local.sources.os.stat", stat)
    version = log(file_path=tree)
    assert len(version.files) == 19
    assert "ck3/optimizer" in {file.path for file in version.files}


def test_a_file_that_a_directory_replaces_is_listed_again(
    log: Any, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace() -> None:
        if (tree / "ck3/weights").is_file():
            (tree / "ck3/weights").unlink()
            fill(tree / "ck3/weights")

    after(monkeypatch, "files_under", replace)
    assert "ck3/weights/optimizer" in {file.path for file in log(file_path=tree).files}


def test_a_link_that_goes_after_what_it_points_to_is_left_out(
    log: Any, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "ck3/link").symlink_to("weights")
    (tree / "ck3/weights").unlink()
    remove = lambda _: (tree / "ck3/link").unlink(missing_ok=True)  # noqa: E731 - one line
    monkeypatch.setattr("instrument.artifacts.trees.time.sleep", remove)
    assert len(log(file_path=tree).files) == 19


def lose_one_after_another(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doomed = iter(sorted(tree.iterdir()))
    after(monkeypatch, "files_under", lambda: shutil.rmtree(next(doomed)))


def test_a_tree_that_never_holds_still_is_an_error_of_the_store(
    log: Any, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_one_after_another(tree, monkeypatch)
    with pytest.raises(
        StoreError, match=r"tree kept changing while it was stored, 3 times \(.*ck2"
    ):
        log(file_path=tree)
    assert len(list(tree.iterdir())) == 7


def test_a_tree_that_never_holds_still_is_unrecorded_and_told(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_one_after_another(tree, monkeypatch)
    version, problems = logged(tree)
    assert version.ref == "tree:unrecorded"
    assert "kept changing while it was stored, 3 times" in problems


def test_a_tree_that_goes_away_as_a_whole_ends_no_run(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after(monkeypatch, "files_under", lambda: shutil.rmtree(tree))
    version, problems = logged(tree)
    assert version.version is None
    assert f"{tree} is gone" in problems


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def not_utf8(root: Path) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/\xff")).write_text("x")


def empty(root: Path) -> None:
    for each in root.iterdir():
        shutil.rmtree(each)


UNSTORABLE: dict[str, tuple[Break, str]] = {
    "dangling": (lambda root: (root / "x").symlink_to("nowhere"), "x is a symlink that points to"),
    "loop": (lambda root: (root / "x").symlink_to(".."), "x is a symlink to a directory"),
    "pipe": (lambda root: os.mkfifo(root / "x"), "x is neither a file nor a directory"),
    "socket": (lambda root: bind(root / "x"), "x is neither a file nor a directory"),
    "name": (not_utf8, "has a name that is not UTF-8"),
    "empty": (empty, "holds no files"),
}


@pytest.fixture(params=UNSTORABLE)
def reason(request: pytest.FixtureRequest, tree: Path) -> str:
    """Why `tree` cannot be stored."""
    spoil, why = UNSTORABLE[request.param]
    spoil(tree)
    return why


def test_what_cannot_be_stored_in_a_tree_ends_no_run(tree: Path, reason: str) -> None:
    version, problems = logged(tree)
    assert version.ref == "tree:unrecorded"
    assert reason in problems


def test_a_strict_run_and_the_direct_call_hear_of_it(log: Any, tree: Path, reason: str) -> None:
    with pytest.raises(StoreError, match=reason) as direct:
        log(file_path=tree)
    assert type(direct.value) is StoreError
    with (
        pytest.raises(StoreError, match=reason),
        ExperimentContext(capture_level=1, strict=True) as run,
    ):
        run.log_artifact("tree", file_path=tree)


def test_the_command_tells_it_in_one_line_as_of_a_store(tree: Path, reason: str) -> None:
    done = call("artifacts", "log", "tree", tree)
    assert done.code == StoreError.exit_code
    assert done.err.startswith("error: ")
    assert reason in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_a_directory_that_nobody_may_read_ends_no_run(tree: Path, mode: int) -> None:
    (tree / "ck3").chmod(mode)
    program = f"""
from instrument import ExperimentContext
with ExperimentContext(capture_level=1, monitor_hardware=False) as run:
    print(run.log_artifact("tree", file_path={str(tree)!r}).ref)
    print(run.log_artifact("thing", data=1).ref)
"""
    done = subprocess.run(
        [*as_ordinary_user(), sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
    )
    (tree / "ck3").chmod(0o755)
    assert (done.returncode, done.stdout) == (0, "tree:unrecorded\nthing:v1\n")
    assert "ck3" in done.stderr
    assert "Permission denied" in done.stderr
    assert "Traceback" not in done.stderr


def test_errors_of_the_arguments_stay_errors(tree: Path, tmp_path: Path) -> None:
    with ExperimentContext(capture_level=1, monitor_hardware=False) as run:
        with pytest.raises(NotFoundError, match="does not exist"):
            run.log_artifact("tree", file_path=tmp_path / "nowhere")
        with pytest.raises(UsageError, match="exactly one of"):
            run.log_artifact("tree", data=1, file_path=tree)
        with pytest.raises(UsageError, match="a/b"):
            run.log_artifact("a/b", file_path=tree)


def test_a_bar_counts_what_is_left(tree: Path) -> None:
    paths = [tree / "ck1/weights", tree / "gone"]
    assert sum(map(trees._size, paths)) == len("ck1 weights")


def test_a_tree_that_holds_still_is_listed_once(
    log: Any, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[float] = []
    after(monkeypatch, "files_under", lambda: listed.append(time.monotonic()))
    log(file_path=tree)
    assert len(listed) == 1
