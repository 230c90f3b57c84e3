"""`get_git_sha` and its kin speak of the script's repository, as git does, and never guess."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from capture.repositories import git, make_repository

SCRIPT = """
import json, sys
from instrument import check_git_dirty, get_git_branch, get_git_sha
print(json.dumps([get_git_sha(), get_git_sha(short=True), get_git_branch(), check_git_dirty()]))
"""


def told(script: Path, cwd: Path) -> tuple[list[Any], str]:
    done = subprocess.run(
        [sys.executable, str(script)], cwd=cwd, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout), done.stderr


def test_they_speak_of_the_repository_of_the_script(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "own", {"src/train.py": SCRIPT.encode()})
    elsewhere = make_repository(tmp_path / "other")
    found, error = told(root / "src" / "train.py", elsewhere)
    assert found == [
        git(root, "rev-parse", "HEAD"),
        git(root, "rev-parse", "--short", "HEAD"),
        "main",
        False,
    ]
    assert error == ""


def test_untracked_files_are_dirt_and_a_detached_head_has_no_branch(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "own", {"train.py": SCRIPT.encode()})
    git(root, "checkout", "--quiet", "--detach")
    (root / "new.txt").write_text("x")
    found, error = told(root / "train.py", tmp_path)
    assert found[2:] == [None, True]
    assert error == ""


def test_the_answer_is_that_of_now(tmp_path: Path) -> None:
    script = (
        "import pathlib; from instrument import check_git_dirty\n"
        "first = check_git_dirty(); pathlib.Path(__file__).with_name('x').write_text('')\n"
        "print(first, check_git_dirty())\n"
    )
    root = make_repository(tmp_path / "own", {"train.py": script.encode()})
    done = subprocess.run(
        [sys.executable, str(root / "train.py")], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False True\n"


def test_what_is_unknown_is_none_and_says_why(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    found, error = told(script, tmp_path)
    assert found == [None, None, None, None]
    assert error.count("the code is not in a git repository") == 3  # commit, branch, state


def test_before_the_first_commit_there_is_none(tmp_path: Path) -> None:
    root = tmp_path / "new"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch=main")
    (root / "train.py").write_text(SCRIPT)
    found, error = told(root / "train.py", root)
    assert found == [None, None, "main", True]
    assert "the git commit is unknown: there is no commit yet" in error
