"""Conda and pixi environments, lock files, and the repositories behind editable packages."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from instrument.canonical import digest_of_bytes
from instrument.capture import editables as room
from instrument.capture.conda import conda
from instrument.capture.lockfiles import lock_files, without_secrets
from instrument.capture.parts import NotKnown
from instrument.clock import SystemClock
from instrument.records import EnvironmentCaptured
from instrument_local import open_store

CHANNEL = "https://conda.anaconda.org/t/my-private-token/lab/linux-64"


def conda_environment(prefix: Path) -> Path:
    meta = prefix / "conda-meta"
    meta.mkdir(parents=True)
    numpy = {
        "name": "numpy", "version": "2.2.6", "build": "py311h1", "build_number": 1,
        "channel": "https://conda.anaconda.org/conda-forge/linux-64", "sha256": "ab" * 32,
        "files": ["lib/python3.11/site-packages/numpy/__init__.py"] * 100,
    }  # fmt: skip
    (meta / "numpy-2.2.6-py311h1.json").write_text(json.dumps(numpy))
    own = {"name": "own", "version": "1", "channel": CHANNEL, "md5": "cd" * 16}
    (meta / "own-1-0.json").write_text(json.dumps(own))
    (meta / "history").write_text("")
    return prefix


def test_conda_packages(tmp_path: Path) -> None:
    found = conda(conda_environment(tmp_path))
    assert found["packages"]["numpy"] == {
        "version": "2.2.6",
        "build": "py311h1",
        "channel": "https://conda.anaconda.org/conda-forge/linux-64",
        "hash": f"sha256:{'ab' * 32}",
    }
    assert found["packages"]["own"]["hash"] == f"md5:{'cd' * 16}"
    assert "my-private-token" not in str(found)
    assert found["packages"]["own"]["channel"].endswith("/lab/linux-64")
    assert (found["pixi"], found["reasons"]) == (None, {})


def test_a_pixi_environment(tmp_path: Path) -> None:
    conda_environment(tmp_path)
    told = {
        "manifest_path": "/home/me/pixi.toml", "environment_name": "gpu",
        "pixi_version": "0.40.0", "environment_lock_file_hash": "0123",
    }  # fmt: skip
    (tmp_path / "conda-meta" / "pixi").write_text(json.dumps(told))
    assert conda(tmp_path)["pixi"] == {
        "environment": "gpu", "pixi_version": "0.40.0", "lock_hash": "0123",
    }  # fmt: skip


def test_conda_files_that_are_broken_are_named(tmp_path: Path) -> None:
    conda_environment(tmp_path)
    (tmp_path / "conda-meta" / "bad-1-0.json").write_text("{")
    (tmp_path / "conda-meta" / "odd-1-0.json").write_text('{"name": 1, "version": "1"}')
    found = conda(tmp_path)
    assert set(found["packages"]) == {"numpy", "own"}
    assert found["reasons"] == {"packages": "not readable: bad-1-0.json, odd-1-0.json"}


def test_no_conda(tmp_path: Path) -> None:
    with pytest.raises(NotKnown, match="no conda or pixi"):
        conda(tmp_path)


NAMES = (
    "uv.lock", "poetry.lock", "pdm.lock", "pixi.lock", "Pipfile.lock", "conda-lock.yml",
    "gpu.conda-lock.yml", "environment.yml", "environment-gpu.yaml", "requirements.txt",
    "requirements-dev.txt", "dev-requirements.txt", "pylock.toml",
)  # fmt: skip


def test_lock_files_of_every_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotKnown, match="no lock file"):
        lock_files()
    for name in (*NAMES, "notes.txt", "my.lock"):
        (tmp_path / name).write_text(name)
    (tmp_path / "sub.lock").mkdir()
    kept: dict[str, bytes] = {}

    def keep(content: bytes) -> str:
        kept[digest_of_bytes(content)] = content
        return digest_of_bytes(content)

    found = lock_files(keep)
    assert set(found) == set(NAMES)
    assert {name: kept[found[name]].decode() for name in NAMES} == {name: name for name in NAMES}
    assert lock_files() == found, "without a store the digests are the same"


LOCKED = """\
--index-url https://build:hunter2-hunter2@pypi.example.org/simple
google-auth==2.38.0 --hash=sha256:0123456789abcdef
secretstorage = {version = ">=3.2", markers = "sys_platform == 'linux'"}
own @ git+https://ghp_0123456789abcdefghijABCDEFGHIJ012345@github.com/me/own.git@v1
url: https://conda.anaconda.org/t/tk-1234-secret/lab/linux-64/own-1.conda
content-hash = "5f7c"
"""


def test_lock_files_lose_credentials_and_nothing_else() -> None:
    safe = without_secrets(LOCKED)
    for secret in ("hunter2", "ghp_0123", "tk-1234"):
        assert secret not in safe
    before, after = LOCKED.splitlines(), safe.splitlines()
    assert [after[number] for number in (1, 2, 5)] == [before[number] for number in (1, 2, 5)]
    assert after[0].endswith("@pypi.example.org/simple")
    assert after[4].endswith("/lab/linux-64/own-1.conda")


def test_a_run_keeps_them_as_objects(tmp_path: Path, store_path: Path) -> None:
    (tmp_path / "work" / "uv.lock").write_text(LOCKED)
    program = (
        "from instrument import ExperimentContext\n"
        "with ExperimentContext({}, capture_level=3, monitor_hardware=False): pass"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    store = open_store(store_path, SystemClock())
    [run] = store.runs()
    [record] = [
        entry.record
        for entry in store.entries(run.id)
        if isinstance(entry.record, EnvironmentCaptured)
    ]
    assert store.get_bytes(record.files["uv.lock"]).decode() == without_secrets(LOCKED)
    assert verified(store_path)["ok"] is True
    digits = record.files["uv.lock"].removeprefix("sha256:")
    [damaged] = [path for path in store_path.rglob(f"*{digits[2:]}*") if path.is_file()]
    damaged.unlink()
    assert digits in str(verified(store_path)["problems"]), "verify knows that the run needs it"


def verified(store: Path) -> Any:
    command = [sys.executable, "-m", "instrument", "--store", str(store), "verify", "--json"]
    return json.loads(subprocess.run(command, capture_output=True, check=False).stdout)


def git(directory: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    done = subprocess.run(
        ["git", *who, *arguments], cwd=directory, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def install_editable(site: Path, name: str, directory: Path) -> None:
    place = site / f"{name}-1.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(f"Name: {name}\nVersion: 1\n")
    told = {"url": directory.as_uri(), "dir_info": {"editable": True}}
    (place / "direct_url.json").write_text(json.dumps(told))


def test_editables_have_the_state_of_their_repositories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "a repository"
    for name in ("one", "two"):
        (repository / name).mkdir(parents=True)
        (repository / name / "code.py").write_text("x = 1\n")
    git(repository, "init", "--quiet", "--initial-branch", "topic")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "Start")
    for name in ("one", "two"):
        install_editable(tmp_path / "site", name, repository / name)
    (tmp_path / "loose").mkdir()
    install_editable(tmp_path / "site", "loose", tmp_path / "loose")
    monkeypatch.setattr("sys.path", [str(tmp_path / "site"), *sys.path])
    found = room.editables()
    assert found["one"] == found["two"]
    assert found["one"]["git"]["commit"] == git(repository, "rev-parse", "HEAD")
    assert (found["one"]["git"]["branch"], found["one"]["git"]["dirty"]) == ("topic", False)
    assert found["loose"] == {"git": None, "reason": "it is not in a git repository"}
    (repository / "one" / "code.py").write_text("x = 2\n")
    monkeypatch.setattr("instrument.capture.code._recent", {})
    assert room.editables()["one"]["git"]["dirty"] is True
    monkeypatch.chdir(repository)
    monkeypatch.setattr(room, "code_directory", lambda: repository)
    assert room.editables()["one"] == {"with_code": True}
