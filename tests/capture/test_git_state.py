"""What is recorded of a repository beyond its commit, and what is recorded without one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from capture.repositories import git, kept, make_repository

from instrument.capture.code import CodeReading
from instrument.capture.origin import from_environment
from instrument.capture.repository import find_repository, read_head
from instrument.vocabulary import GitState


@pytest.fixture(autouse=True)
def no_user_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


def state(root: Path) -> GitState:
    found = kept(root).code.git
    assert found is not None
    return found


def test_tags_at_the_commit_and_the_nearest_before_it(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "r")
    git(root, "tag", "v1")
    git(root, "tag", "--annotate", "--message=m", "rel/1.0")
    assert state(root).tags == ("rel/1.0", "v1")
    git(root, "commit", "--quiet", "--allow-empty", "--message=2")
    git(root, "pack-refs", "--all")
    found = state(root)
    assert found.tags == ()
    assert found.describe == f"rel/1.0-1-g{str(found.commit)[:7]}"


def test_t33_remotes_without_credentials(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "r")
    git(root, "remote", "add", "backup", "https://u:p@example.org/a.git?access_token=t")
    git(root, "remote", "add", "My.Own", "ssh://git:secret@example.org/b.git")
    assert state(root).remotes == {
        "backup": "https://example.org/a.git", "My.Own": "ssh://example.org/b.git",
    }  # fmt: skip


def test_ahead_and_behind_of_the_upstream(tmp_path: Path) -> None:
    origin = make_repository(tmp_path / "origin")
    git(tmp_path, "clone", "--quiet", str(origin), "r")
    root = tmp_path / "r"
    for directory, count in ((origin, 1), (root, 2)):
        for number in range(count):
            message = f"--message={directory.name} {number}"
            git(directory, "commit", "--quiet", "--allow-empty", message)
    git(root, "fetch", "--quiet")
    found = CodeReading(root, None, 1, 60).finish().git
    assert found is not None
    assert (found.upstream, found.ahead, found.behind) == ("origin/main", 2, 1)


def test_linked_worktree_shallow_and_detached(tmp_path: Path) -> None:
    origin = make_repository(tmp_path / "origin")
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{origin}", "r")
    git(tmp_path / "r", "worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    found = state(tmp_path / "linked")
    assert (found.worktree, found.shallow, found.detached) == ("linked", True, True)
    assert state(tmp_path / "r").worktree == "main"


@pytest.mark.parametrize("operation", ["merge", "rebase", "cherry-pick", "revert"])
def test_in_the_middle_of_something(tmp_path: Path, operation: str) -> None:
    root = make_repository(tmp_path / "r", {"a": b"0\n"})
    first = git(root, "rev-parse", "HEAD")
    for branch in ("side", "main"):
        git(root, "checkout", "--quiet", "-B", branch, first)
        (root / "a").write_text(branch)
        git(root, "commit", "--quiet", "--all", f"--message={branch}")
    git(root, "commit", "--quiet", "--allow-empty", "--message=more")
    (root / "a").write_text("again")
    git(root, "commit", "--quiet", "--all", "--message=again")
    assert state(root).operation == "none"
    with pytest.raises(AssertionError):
        git(root, operation, "HEAD~2" if operation == "revert" else "side")
    assert state(root).operation == operation


def test_a_clean_repository_keeps_nothing(tmp_path: Path) -> None:
    assert kept(make_repository(tmp_path / "r")).objects == {}


def test_at_basic_what_differs_in_a_submodule_is_dirt(tmp_path: Path) -> None:
    inner = make_repository(tmp_path / "inner")
    outer = make_repository(tmp_path / "outer")
    git(outer, "submodule", "--quiet", "add", str(inner), "lib")
    git(outer, "commit", "--quiet", "--message=sub")
    (outer / "lib" / "new").write_text("x")
    reading = CodeReading(outer, None, 1, 60)
    first = reading.finish()
    assert first.git is not None
    assert first.git.dirty is None
    assert "background" in (first.reason or "")
    whole = reading.complete()
    assert whole is not None
    assert whole.code.git is not None
    assert (whole.code.git.dirty, whole.code.git.remotes, whole.objects) == (True, None, {})
    assert whole.code.reason is None


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (
            {"GITHUB_SHA": "a" * 40, "GITHUB_REF_NAME": "dev", "GITHUB_SERVER_URL": "https://h",
             "GITHUB_REPOSITORY": "o/r"},
            ("GITHUB_SHA", "dev", "https://h/o/r"),
        ),
        (
            {"CI_COMMIT_SHA": "a" * 40, "CI_COMMIT_BRANCH": "main",
             "CI_PROJECT_URL": "https://u:p@h/o/r"},
            ("CI_COMMIT_SHA", "main", "https://h/o/r"),
        ),
        ({"BUILDKITE_COMMIT": "a" * 40}, ("BUILDKITE_COMMIT", None, None)),
        ({"GIT_COMMIT": "a" * 40, "GIT_BRANCH": "origin/x"}, ("GIT_COMMIT", "origin/x", None)),
    ],
)  # fmt: skip
def test_ci_names_the_commit(
    variables: dict[str, str], expected: tuple[str, str | None, str | None]
) -> None:
    found = from_environment(None, variables)
    assert found is not None
    assert (found.source, found.branch, found.remote) == expected
    assert (found.commit, found.dirty) == ("a" * 40, None)
    given = from_environment("b" * 40, variables)
    assert given is not None
    assert (given.source, given.commit) == ("INSTRUMENT_GIT_COMMIT", "b" * 40)


def test_ci_that_says_nonsense_is_passed_over() -> None:
    assert from_environment(None, {"GITHUB_SHA": "HEAD", "GIT_COMMIT": ""}) is None


def fake_git(directory: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.mkdir()
    (directory / "git").write_text(f"#!/bin/sh\n{script}\n")
    (directory / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


def real_git() -> str:
    return shutil.which("git") or "git"


def test_a_git_that_does_not_know_the_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository(tmp_path / "r")
    commit = git(root, "rev-parse", "HEAD")
    old = "echo \"error: unknown option 'no-renames'\" >&2; exit 129"
    fake_git(tmp_path / "bin", old, monkeypatch)
    found = CodeReading(root, None, 2, 60).finish()
    assert found.git is not None
    assert (found.git.commit, found.git.dirty, found.git.source) == (commit, None, "files")
    assert "unknown option" in (found.reason or "")


def test_a_git_too_old_to_leave_filters_alone_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository(tmp_path / "r", {"a": b"1\n", ".gitattributes": b"* filter=evil\n"})
    git(root, "config", "filter.evil.clean", f"touch {tmp_path / 'ran'}; cat")
    (root / "a").write_text("2\n")
    old = (
        f'for a; do [ "$a" = version ] && echo "git version 2.20.1" && exit; done\n'
        f'unset GIT_CONFIG_COUNT; exec {real_git()} "$@"'
    )
    fake_git(tmp_path / "bin", old, monkeypatch)
    found = CodeReading(root, None, 2, 60).finish()
    assert found.git is not None
    assert found.git.dirty is None
    assert "too old" in (found.reason or "")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("broken", ["HEAD", "index", "objects", "config"])
def test_a_corrupt_repository_is_told(tmp_path: Path, broken: str) -> None:
    root = make_repository(tmp_path / "r")
    path = root / ".git" / broken
    if broken == "objects":
        for file in path.rglob("*"):
            if file.is_file():
                file.chmod(0o644)
                file.write_bytes(b"rubbish")
    else:
        path.write_bytes(b"rubbish \xff\0")
    (root / "new").write_text("x")
    reading = CodeReading(root, None, 2, 60)
    first = reading.finish()
    whole = reading.complete()
    found = whole.code if whole else first
    assert found.reason
    assert found.git is None or found.git.dirty is not False


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_unreadable_files_are_named(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "r", {"a": b"1\n", "b": b"1\n"})
    (root / "a").write_text("2\n")
    (root / "secretive").write_text("x\n")
    (root / "new").write_text("x\n")
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == 0 and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
    for path in (root, *root.rglob("*")):
        os.chown(path, 12345, 12345)
    os.chown(root / "secretive", 0, 0)
    (root / "secretive").chmod(0o600)
    other = make_repository(tmp_path / "other")  # so that every module is loaded as root
    (other / "new").write_text("x")
    program = (
        "import os; from pathlib import Path; from capture.repositories import kept\n"
        f"kept(Path({str(other)!r}))\n"
        "os.setgid(12345); os.setuid(12345); os.environ['HOME'] = '/'\n"
        f"found = kept(Path({str(root)!r}))\n"
        "print(found.code.reason); print(found.objects['patch'].decode())"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "secretive (cannot be read: Permission denied)" in done.stdout, done.stderr
    assert "+++ b/new" in done.stdout


def test_a_configuration_that_moves_the_working_tree_moves_nothing(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir()
    (private / "diary").write_text("dear diary\n")
    root = make_repository(tmp_path / "r")
    git(root, "config", "core.worktree", str(private))
    (root / "new").write_text("x\n")
    found = kept(root)
    assert b"diary" not in b"".join(found.objects.values())
    assert b"b/new" in found.objects["patch"]


def test_t34_a_submodule_brings_no_commands_along(tmp_path: Path) -> None:
    """Neither one that is registered, nor one that merely lies there, nor by an include."""
    root = make_repository(tmp_path / "r")
    ran = tmp_path / "ran"
    for name in ("plain", "gitlink"):
        inside = make_repository(root / name, {"a": b"1\n", ".gitattributes": b"* filter=evil\n"})
        config = inside / ".git" / "extra"
        config.write_text(f'[filter "evil"]\n\tclean = "touch {ran}; cat"\n')
        git(inside, "config", f"includeIf.gitdir:{inside}/.path", str(config))
        git(inside, "config", "core.fsmonitor", f"touch {ran}; true")
        (inside / "a").write_text("2\n")
    git(root, "add", "gitlink")
    git(root, "commit", "--quiet", "--message=link")
    ran.unlink(missing_ok=True)
    assert {each.path for each in state(root).submodules or ()} == {"gitlink", "plain"}
    assert not ran.exists()
    git(root / "gitlink", "status", "--porcelain")
    assert ran.exists(), "the trap does not spring"


def test_twenty_thousand_files(tmp_path: Path) -> None:
    files = {f"d{n % 200}/f{n}.py": b"%d\n" % n for n in range(20_000)}
    root = make_repository(tmp_path / "r", files)
    (root / "d7" / "f7.py").write_text("changed\n")
    (root / "new.py").write_text("new\n")
    reading = CodeReading(root, None, 2, 10)
    first = reading.finish()
    whole = reading.complete()
    assert first.git is not None
    assert first.git.dirty is True
    assert whole is not None
    assert (first.reason, whole.code.reason) == (None, None)
    assert whole.objects["patch"].count(b"diff --git") == 2


def test_the_files_of_a_repository_say_no_more_than_they_know(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "r")
    (root / ".git" / "HEAD").write_text("ref: refs/heads/.invalid\n")
    repository = find_repository(root)
    assert repository is not None
    assert read_head(repository) is None
