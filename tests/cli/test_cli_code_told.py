"""What the pages say of code that was left out, of the patch, and of random states."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from capture.repositories import make_repository
from cli.support import BEGAN, Cli, Writer

from instrument.records import CodeCaptured, EnvironmentCaptured, ProcessStarted
from instrument.vocabulary import GitState

RUNS = b"""import random, instrument
for _ in range(2):
    with instrument.ExperimentContext(monitor_hardware=False%s):
        random.random()
"""
LEAK = b'database = dict(\n    password="change' + b'me123",\n)\n'


@pytest.fixture(autouse=True)
def no_user_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


def run(cli: Cli, script: Path) -> str:
    done = cli("run", "--", sys.executable, script.name, cwd=script.parent)
    assert done.code == 0, done.err
    return done.err


def alone(script: Path) -> str:
    done = subprocess.run(
        [sys.executable, script.name], cwd=script.parent, capture_output=True, text=True, check=True
    )
    return done.stderr


def test_a_secret_that_was_removed_from_the_code_is_told(cli: Cli, tmp_path: Path) -> None:
    script = make_repository(tmp_path / "r") / "train.py"
    script.write_bytes(b"print('hello')\n" + LEAK)
    told = run(cli, script)
    assert "code without the secrets in it: train.py (line 3); move the secret" in told
    assert "or commit the file if it is none" in told
    assert "changeme" not in told
    page = cli("runs", "show", "latest").out
    assert "complete, but secrets removed from the code: 1 file" in page
    assert "train.py (line 3)" in page


def test_a_file_that_is_a_secret_is_told_to_be_missing(cli: Cli, tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r", {"train.py": b"print('hello')\n"})
    (repository / "weights").write_bytes(b"\0" + LEAK)
    told = run(cli, repository / "train.py")
    assert "not recorded as code: weights (looks like a secret); move the secret" in told
    assert "complete, but code left out: 1 file" in cli("runs", "show", "latest").out


def test_a_secret_in_a_script_in_no_repository_is_told(cli: Cli, tmp_path: Path) -> None:
    script = tmp_path / "alone.py"
    script.write_bytes(LEAK)
    told = run(cli, script)
    assert "recorded as code without the secrets in it: alone.py (line 2)" in told


def test_several_runs_of_a_process_are_told_once(tmp_path: Path) -> None:
    script = make_repository(tmp_path / "r") / "train.py"
    script.write_bytes(RUNS % b"" + LEAK)
    assert alone(script).count("the secrets in it: train.py (line 6);") == 1


def test_code_that_is_kept_is_not_told(cli: Cli, tmp_path: Path) -> None:
    script = make_repository(tmp_path / "r") / "train.py"
    script.write_bytes(b"auth = 'my-auth-provider-name'\n")
    assert "recorded" not in run(cli, script)
    page = cli("runs", "show", "latest").out
    assert "with uncommitted changes, kept as a patch\n" in page
    assert "complete; it cost" in page


def test_the_patch_is_told_whenever_it_became_known(cli: Cli, writer: Writer) -> None:
    process = ProcessStarted(
        run_id="only-run", attempt=1, rank=0, world_size=1, owner=True, writer_id="1" * 32,
        host="box", boot_id=None, pid=77, process_start=None, directory="/home/u", python="3.11.7",
        user="u", recorder_version="0.1.0", command=("python", "train.py"),
    )  # fmt: skip
    journal = writer.store.begin(process)
    git = GitState(commit="a" * 40, branch="main", dirty=True)
    journal.take(CodeCaptured(git=git), BEGAN)
    journal.take(EnvironmentCaptured(level=2, snapshot=None, health=()), BEGAN)
    digests = {
        "patch": writer.store.put_bytes(b"diff --git a/a b/a"),
        "manifest": writer.store.put_bytes(b'{"directory": "/home/u"}'),
    }
    journal.take(CodeCaptured(git=git, **digests), BEGAN)
    journal.close()
    assert "uncommitted changes, kept as a patch\n" in cli("runs", "show", "only-run").out


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ((b"", b""), ["random states"]),
        ((b"", b", seed=1"), ["random states", "seed", "set_in"]),
        ((b", seed=1", b", seed=1"), []),
    ],
)
def test_random_states_without_a_seed_are_one_line(
    cli: Cli, tmp_path: Path, arguments: tuple[bytes, bytes], names: list[str]
) -> None:
    script = make_repository(tmp_path / "r") / "train.py"
    for argument in arguments:
        script.write_bytes((RUNS % argument).replace(b"range(2)", b"range(1)"))
        alone(script)
    runs = [run["id"] for run in cli("runs", "list", "--json").json]
    found = cli("runs", "diff", *runs, "--json").json["differences"]["seeds"]
    assert [each["name"] for each in found if not each["name"].startswith("flags.")] == names
    if names == ["random states"]:
        [only] = found
        assert only["a"].startswith("unseeded, sha256:")
        assert "random states" in cli("runs", "diff", *runs).out


def test_words_that_a_parameter_holds_keep_no_code_out(cli: Cli, tmp_path: Path) -> None:
    script = make_repository(tmp_path / "r") / "train.py"
    script.write_bytes(
        b"import instrument\n"
        b"@instrument.reproducible\n"
        b"def f(auth, credentials):\n    return 1\n"
        b"config = dict(auth='my-auth-provider-name')\n"
        b"with instrument.ExperimentContext(config, monitor_hardware=False):\n"
        b"    f('other-provider-name', credentials='application-default')\n"
    )
    assert "not recorded" not in alone(script)
    run_id = cli("runs", "list", "--json").json[0]["id"]
    assert "kept as a patch" in cli("runs", "show", run_id).out
    assert cli("runs", "show", run_id, "--json").json["params"] == {"auth": "[redacted]"}


def test_why_a_run_has_no_patch_is_told(cli: Cli, tmp_path: Path) -> None:
    script = make_repository(tmp_path / "r") / "train.py"
    script.write_bytes(RUNS % b", capture_level=1")
    subprocess.run([sys.executable, script.name], cwd=script.parent, check=True)
    done = cli("runs", "patch", "latest")
    assert done.code == 2
    assert done.err.endswith(
        "has no patch: its code was changed, but at capture level 1 no patch is made\n"
    )
