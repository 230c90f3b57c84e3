"""The state of the user's code, read from real repositories of every shape."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from capture.repositories import git, make_repository

from instrument.capture import code, origin
from instrument.capture.code import CodeReading, begin_code, code_directory
from instrument.records import CodeCaptured
from instrument.vocabulary import GitState


@pytest.fixture(autouse=True)
def no_user_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for system in origin._SYSTEMS:
        monkeypatch.delenv(system.commit, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


def captured(directory: Path, commit: str | None = None, limit_seconds: float = 60) -> CodeCaptured:
    reading = CodeReading(directory, commit, 2, limit_seconds)
    whole = reading.complete(limit_seconds=60)
    return whole.code if whole else reading.finish()


def answering(directory: Path, answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on git gives `answer`, whatever it is asked."""
    directory.mkdir()
    (directory / "answer").write_bytes(answer)
    (directory / "git").write_text(f"#!/bin/sh\nexec cat {directory}/answer\n")
    (directory / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


def state(directory: Path) -> GitState:
    found = captured(directory)
    assert found.git is not None
    return found.git


def test_clean_repository(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "my project")
    (repository / "sub").mkdir()
    found = captured(repository / "sub")
    assert found.reason is None
    assert found.git == GitState(
        commit=git(repository, "rev-parse", "HEAD"),
        branch="main",
        dirty=False,
        root="my project",
        source="git",
        detached=False,
        remotes={},
        tags=(),
        submodules=(),
        worktree="main",
        operation="none",
        shallow=False,
        lfs_files=0,
        lfs_pointers=0,
    )


@pytest.mark.parametrize("how", ["modified", "staged", "deleted", "untracked", "mode"])
def test_any_difference_is_dirty(tmp_path: Path, how: str) -> None:
    repository = make_repository(tmp_path / "r")
    file = repository / "train.py"
    if how == "modified":
        file.write_text("print('bye')\n")
    elif how == "staged":
        (repository / "new.py").write_text("1\n")
        git(repository, "add", "new.py")
    elif how == "deleted":
        file.unlink()
    elif how == "untracked":
        (repository / "notes.txt").write_text("x")
    else:
        file.chmod(0o755)
    assert state(repository).dirty is True


def test_ignored_files_and_our_store_are_not_dirt(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r", {".gitignore": b"*.ckpt\n"})
    (repository / "model.ckpt").write_bytes(b"1")
    (repository / ".instrument").mkdir()
    (repository / ".instrument" / "FORMAT").write_text("1")
    assert state(repository).dirty is False


def test_unborn_head(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=trunk", "r")
    (tmp_path / "r" / "a").write_text("a")
    found = state(tmp_path / "r")
    assert (found.commit, found.branch, found.dirty) == (None, "trunk", True)


def test_detached_head(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r")
    git(repository, "checkout", "--quiet", "--detach")
    found = state(repository)
    assert (found.commit, found.branch) == (git(repository, "rev-parse", "HEAD"), None)


def test_worktree(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r")
    git(repository, "worktree", "add", "--quiet", "-b", "side", str(tmp_path / "tree"))
    (tmp_path / "tree" / "extra").write_text("x")
    found = state(tmp_path / "tree")
    assert (found.branch, found.dirty, found.root) == ("side", True, "tree")
    assert state(repository).dirty is False


def test_submodule_and_what_changes_inside_it(tmp_path: Path) -> None:
    inner = make_repository(tmp_path / "inner")
    outer = make_repository(tmp_path / "outer")
    git(outer, "submodule", "--quiet", "add", str(inner), "lib")
    git(outer, "commit", "--quiet", "--message=sub")
    assert state(outer).dirty is False
    (outer / "lib" / "train.py").write_text("changed")
    assert state(outer).dirty is True
    inside = state(outer / "lib")
    assert (inside.commit, inside.root) == (git(inner, "rev-parse", "HEAD"), "lib")


def test_bare_repository(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r")
    git(tmp_path, "clone", "--quiet", "--bare", str(repository), "bare.git")
    found = captured(tmp_path / "bare.git")
    assert found.git is not None
    assert (found.git.commit, found.git.dirty) == (git(repository, "rev-parse", "HEAD"), None)
    assert found.reason is not None
    assert "bare" in found.reason


def test_no_repository(tmp_path: Path) -> None:
    found = captured(tmp_path)
    assert (found.git, found.reason) == (None, "the code is not in a git repository")


RUBBISH = {
    "nothing": b"",
    "half a count": b"# branch.ab +1\0",
    "half a line": b"# branch.oid " + b"1" * 40 + b"\0# branch.head main\0" + b"1 .M\0",
    "no commit": b"# branch.head main\0",
    "no branch": b"# branch.oid " + b"1" * 40 + b"\0",
    "a commit that is none": b"# branch.oid 0123\0# branch.head main\0",
    "an unknown kind": b"# branch.oid " + b"1" * 40 + b"\0# branch.head main\0x y\0",
    "a broken end": b"# branch.oid " + b"1" * 40 + b"\0# branch.head main\0? new",
    "a banner": b"welcome to git\n# branch.oid " + b"1" * 40 + b"\0# branch.head main\0",
    "noise": bytes(range(256)) * 12,
}


@pytest.mark.parametrize("kind", RUBBISH)
def test_an_unreadable_answer_is_neither_clean_nor_without_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    repository = make_repository(tmp_path / "r")
    commit = git(repository, "rev-parse", "HEAD")
    answering(tmp_path / "bin", RUBBISH[kind], monkeypatch)
    found = captured(repository)
    assert found.git == GitState(
        commit=commit, branch="main", dirty=None, root="r", source="files", detached=False
    )
    assert found.reason is not None
    assert found.reason.startswith("the answer of git status cannot be read: ")


def test_commits_that_git_does_not_count_are_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = make_repository(tmp_path / "r")
    head = b"# branch.oid " + b"1" * 40 + b"\0# branch.head main\0"
    answering(tmp_path / "bin", head + b"# branch.ab +? -?\0", monkeypatch)
    found = CodeReading(repository, None, 1, 60).finish().git
    assert found is not None
    assert (found.commit, found.ahead, found.behind) == ("1" * 40, None, None)


def test_no_repository_but_a_given_commit(tmp_path: Path) -> None:
    found = captured(tmp_path, commit="a" * 40)
    source = "INSTRUMENT_GIT_COMMIT"
    assert found.git == GitState(commit="a" * 40, branch=None, dirty=None, source=source)
    assert found.reason is not None
    assert captured(tmp_path, commit="HEAD~1").git is None


def test_no_git_binary_reads_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = make_repository(tmp_path / "r")
    loose = git(repository, "rev-parse", "HEAD")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = captured(repository)
    assert found.git == GitState(
        commit=loose, branch="main", dirty=None, root="r", source="files", detached=False
    )
    assert found.reason == "git is not installed: only its files were read"


def test_no_git_binary_and_packed_refs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = make_repository(tmp_path / "r")
    commit = git(repository, "rev-parse", "HEAD")
    git(repository, "pack-refs", "--all")
    assert not (repository / ".git/refs/heads/main").exists()
    monkeypatch.setenv("PATH", str(tmp_path))
    found = captured(repository)
    assert found.git is not None
    assert found.git.commit == commit


def test_time_limit_leaves_dirty_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = make_repository(tmp_path / "r")
    commit = git(repository, "rev-parse", "HEAD")
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    found = captured(repository, limit_seconds=0.2)
    assert found.git == GitState(
        commit=commit, branch="main", dirty=None, root="r", source="files", detached=False
    )
    assert found.reason is not None
    assert "longer than" in found.reason


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_repository_of_another_user(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r")
    for path in (repository, repository / ".git"):
        os.chown(path, 12345, 12345)
    found = captured(repository)
    assert found.git is not None
    assert found.git.dirty is None
    assert found.reason is not None
    assert "another user owns" in found.reason
    assert "safe.directory" in found.reason


def test_variables_of_a_hook_do_not_mislead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = make_repository(tmp_path / "r")
    other = make_repository(tmp_path / "other", {"x": b"other"})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert state(repository).commit == git(repository, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://user:pass@example.org/a/b.git", "https://example.org/a/b.git"),
        ("https://ghp_abc:x-oauth-basic@example.org/a.git", "https://example.org/a.git"),
        ("https://token@example.org/a.git?access_token=abc#x", "https://example.org/a.git"),
        ("ssh://git:secret@example.org:22/a.git", "ssh://example.org:22/a.git"),
        ("git@example.org:a/b.git", "example.org:a/b.git"),
        ("/srv/git/a.git", "/srv/git/a.git"),
    ],
)
def test_remote_without_credentials(tmp_path: Path, url: str, kept: str) -> None:
    repository = make_repository(tmp_path / "r")
    git(repository, "remote", "add", "backup", "https://example.org/other")
    git(repository, "remote", "add", "origin", url)
    assert state(repository).remote == kept


def test_odd_names(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "ünï\ncode", {"a b\nc": b"1"})
    assert state(repository).dirty is False
    (repository / "a b\nc").write_bytes(b"2")
    found = state(repository)
    assert (found.dirty, found.root) == (True, "ünï\ncode")


def test_through_a_symbolic_link(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r", {"sub/a": b"1"})
    (tmp_path / "link").symlink_to(repository / "sub")
    assert state(tmp_path / "link").root == "r"


def test_removed_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    found = captured(code_directory())
    assert found.git is None
    assert found.reason is not None
    assert "cannot be read" in found.reason


def test_removed_directory(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    found = captured(gone)
    assert found.git is None
    assert found.reason


def test_a_young_reading_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = make_repository(tmp_path / "r")
    first = begin_code(repository, commit=None)
    assert begin_code(repository, commit=None) is first
    first.finish()
    monkeypatch.setattr(code, "REUSE_SECONDS", -1.0)
    later = begin_code(repository, commit=None)
    assert later is not first
    assert later.finish() == first.finish()


def test_a_reading_is_of_one_directory(tmp_path: Path) -> None:
    first = begin_code(make_repository(tmp_path / "a"), commit=None).finish()
    second = begin_code(make_repository(tmp_path / "b"), commit=None).finish()
    assert (first.git and first.git.root, second.git and second.git.root) == ("a", "b")


def test_many_threads_finish_one_reading(tmp_path: Path) -> None:
    reading = begin_code(make_repository(tmp_path / "r"), commit=None)
    found: list[CodeCaptured] = []
    threads = [threading.Thread(target=lambda: found.append(reading.finish())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(one == found[0] for one in found)


def test_code_directory_of_a_script_and_of_a_launcher(tmp_path: Path, python: str) -> None:
    script = tmp_path / "project" / "train.py"
    script.parent.mkdir()
    program = "from instrument.capture.code import code_directory; print(code_directory())"
    script.write_text(program)
    done = subprocess.run([python, str(script)], capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == script.parent
    done = subprocess.run(
        [python, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()) == tmp_path
    assert "pytest" in str(getattr(sys.modules["__main__"], "__file__", "pytest"))
    assert code_directory() == Path.cwd()  # pytest is a launcher
