"""``instrument env restore``: from a real run back to its code, over the command line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from capture.repositories import git, make_repository, tree
from cli.support import Cli

TRAIN = (
    b"from instrument import ExperimentContext\n"
    b"with ExperimentContext(name='x', monitor_hardware=False):\n    pass\n"
)


@pytest.fixture(autouse=True)
def no_user_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    for name in ("GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT", "BUILDKITE_COMMIT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "r", {"train.py": TRAIN, "a.txt": b"1\n"})


def run(cli: Cli, script: Path) -> None:
    done = cli("run", "--", sys.executable, script.name, cwd=script.parent)
    assert done.code == 0, done.err


def test_a_dirty_run_comes_back_without_being_told_where_from(
    cli: Cli, repository: Path, tmp_path: Path
) -> None:
    (repository / "a.txt").write_text("2\n")
    (repository / "new").write_bytes(b"\0\1")
    before = tree(repository)
    run(cli, repository / "train.py")
    git(repository, "reset", "--quiet", "--hard")
    done = cli("env", "restore", "latest", tmp_path / "back", "--json")
    assert done.code == 0
    assert done.json["identical"] is True
    assert done.json["verified"] == 2
    assert done.json["commit"] == git(repository, "rev-parse", "HEAD")
    assert tree(tmp_path / "back") == before


def test_a_clean_run_comes_back(cli: Cli, repository: Path, tmp_path: Path) -> None:
    run(cli, repository / "train.py")
    done = cli("env", "restore", "latest", tmp_path / "back")
    assert (done.code, done.out) == (0, f"{tmp_path / 'back'}\n")
    assert tree(tmp_path / "back") == tree(repository)


def test_what_was_left_out_is_said_and_is_the_answer_no(
    cli: Cli, repository: Path, tmp_path: Path
) -> None:
    (repository / ".env").write_text("HF_TOKEN=hf_x\n")
    run(cli, repository / "train.py")
    done = cli("env", "restore", "latest", tmp_path / "back")
    assert done.code == 1
    assert "not kept by the run: .env (looks like a secret)" in done.err
    assert (tmp_path / "back" / "train.py").exists()


def test_lines_that_lost_a_secret_are_said_and_are_the_answer_no(
    cli: Cli, repository: Path, tmp_path: Path
) -> None:
    secret = "hf_" + "abcdefghijklmnopqrstuv"
    (repository / "a.txt").write_text(f"2\n{secret}\n")
    run(cli, repository / "train.py")
    done = cli("env", "restore", "latest", tmp_path / "back", "--json")
    assert done.code == 1
    assert done.json["identical"] is False
    assert done.json["redacted"] == {
        "a.txt": [{"first_line": 2, "last_line": 2, "rule": "Hugging Face token"}]
    }
    told = cli("env", "restore", "latest", tmp_path / "again")
    assert "a.txt:2: a secret was removed (Hugging Face token)" in told.err
    assert (tmp_path / "back" / "a.txt").read_text() == "2\n[redacted Hugging Face token]\n"


def test_a_run_at_basic_says_that_changes_were_not_kept(
    cli: Cli, repository: Path, tmp_path: Path
) -> None:
    (repository / "a.txt").write_text("2\n")
    cli(
        "run",
        "--",
        sys.executable,
        "train.py",
        cwd=repository,
        env={"INSTRUMENT_CAPTURE_LEVEL": "1"},
    )
    done = cli("env", "restore", "latest", tmp_path / "back")
    assert done.code == 1
    assert "BASIC" in done.err


def test_a_repository_that_is_gone(cli: Cli, repository: Path, tmp_path: Path) -> None:
    run(cli, repository / "train.py")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(repository), str(clone))
    shutil.rmtree(repository)
    done = cli("env", "restore", "latest", tmp_path / "back")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert "--repository" in done.err
    assert cli("env", "restore", "latest", tmp_path / "b", "--repository", clone).code == 0
    nowhere = cli("env", "restore", "latest", tmp_path / "c", "--repository", tmp_path / "none")
    assert nowhere.code == 2
    assert "is no git repository" in nowhere.err


def test_a_repository_inside_comes_from_where_it_was_when_the_named_one_lacks_it(
    cli: Cli, repository: Path, tmp_path: Path
) -> None:
    inside = make_repository(repository / "sub", {"b.txt": b"1\n"})
    (inside / "b.txt").write_text("2\n")
    before = tree(repository)
    run(cli, repository / "train.py")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(repository), str(clone))
    named = ("--repository", clone)
    assert cli("env", "restore", "latest", tmp_path / "back", *named).code == 0
    assert tree(tmp_path / "back") == before
    shutil.move(repository, tmp_path / "elsewhere")
    lost = cli("env", "restore", "latest", tmp_path / "again", *named)
    assert lost.code == 2
    assert "or clone it to 'sub' inside that one" in lost.err
    git(clone, "clone", "--quiet", str(tmp_path / "elsewhere" / "sub"), "sub")
    assert cli("env", "restore", "latest", tmp_path / "again", *named).code == 0


@pytest.mark.parametrize("how", ["alone", "command"])
def test_a_script_outside_git_comes_back(cli: Cli, tmp_path: Path, how: str) -> None:
    script = tmp_path / "plain" / "train.py"
    script.parent.mkdir()
    script.write_bytes(TRAIN)
    script.chmod(0o755)
    if how == "alone":
        subprocess.run([sys.executable, str(script)], check=True)
    else:
        run(cli, script)
    assert cli("env", "restore", "latest", tmp_path / "back").code == 0
    assert tree(tmp_path / "back") == {"train.py": ("executable", script.read_bytes())}


def test_a_script_comes_back_without_the_secret_in_it(cli: Cli, tmp_path: Path) -> None:
    secret = "hf_" + "abcdefghijklmnopqrstuv"
    script = tmp_path / "plain" / "train.py"
    script.parent.mkdir()
    script.write_bytes(TRAIN + f"# {secret}\n".encode())
    run(cli, script)
    done = cli("env", "restore", "latest", tmp_path / "back")
    assert done.code == 1
    assert "train.py:4: a secret was removed (Hugging Face token)" in done.err
    left = TRAIN + b"# [redacted Hugging Face token]\n"
    assert tree(tmp_path / "back") == {"train.py": ("file", left)}
    stored = (path for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert not any(secret.encode() in path.read_bytes() for path in stored)


def test_the_environment_is_still_shown(cli: Cli) -> None:
    assert cli("env", "--json").json["is_valid"] is True
    assert "restore" in cli("env", "--help").out
