"""Nothing that a repository brings along is run by looking at it."""

from pathlib import Path

import pytest
from capture.repositories import git, kept, make_repository

from instrument.capture.code import CodeReading


def trap(directory: Path, name: str) -> str:
    """A command that leaves a file behind when it is run."""
    script = directory / f"{name}.sh"
    script.write_text(f"#!/bin/sh\ntouch '{directory / name}.ran'\ncat\n")
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def traps(tmp_path: Path) -> Path:
    (tmp_path / "traps").mkdir()
    return tmp_path / "traps"


@pytest.fixture
def hostile(tmp_path: Path, traps: Path) -> Path:
    repository = make_repository(
        tmp_path / "r",
        {"a.txt": b"a\n", "b.bin": b"b\n", ".gitattributes": b"*.txt filter=evil diff=evil\n"},
    )
    settings = {
        "core.fsmonitor": trap(traps, "fsmonitor"),
        "core.hooksPath": str(traps / "hooks"),
        "diff.external": trap(traps, "external"),
        "diff.evil.textconv": trap(traps, "textconv"),
        "diff.evil.command": trap(traps, "command"),
        "filter.evil.clean": trap(traps, "clean"),
        "filter.evil.smudge": trap(traps, "smudge"),
        "filter.evil.required": "true",
        "core.pager": trap(traps, "pager"),
        "core.sshCommand": trap(traps, "ssh"),
    }
    for name, value in settings.items():
        git(repository, "config", name, value)
    (traps / "hooks").mkdir()
    for hook in ("post-index-change", "pre-commit", "fsmonitor-watchman"):
        Path(trap(traps, hook)).rename(traps / "hooks" / hook)
    (repository / "a.txt").write_text("changed\n")
    (repository / "new.txt").write_text("new\n")
    return repository


def test_traps_do_spring(hostile: Path, traps: Path) -> None:
    git(hostile, "-c", "core.fsmonitor=", "add", "a.txt")
    assert (traps / "clean.ran").exists()


def test_t34_nothing_of_a_hostile_repository_runs(hostile: Path, traps: Path) -> None:
    found, objects = kept(hostile)
    assert found.git is not None
    assert found.git.dirty is True
    assert found.reason is not None
    assert "evil" in found.reason
    assert b"+changed" in objects["patch"]
    assert sorted(path.name for path in traps.glob("*.ran")) == []


def test_a_filter_with_an_equals_sign_does_not_run(tmp_path: Path, traps: Path) -> None:
    repository = make_repository(
        tmp_path / "r", {"a.txt": b"a\n", ".gitattributes": b"*.txt filter=x=y\n"}
    )
    git(repository, "config", "filter.x=y.clean", trap(traps, "clean"))
    (repository / "a.txt").write_text("b\n")
    assert b"+b" in kept(repository).objects["patch"]
    assert not (traps / "clean.ran").exists()


def test_the_filters_of_the_user_do_run(
    tmp_path: Path, traps: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = make_repository(
        tmp_path / "r", {"a.txt": b"a\n", ".gitattributes": b"*.txt filter=mine\n"}
    )
    configuration = tmp_path / "gitconfig"
    configuration.write_text(f'[filter "mine"]\n\tclean = {trap(traps, "clean")}\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(configuration))
    (repository / "a.txt").write_text("b\n")
    assert CodeReading(repository, None, 2, 60).finish().git is not None
    assert (traps / "clean.ran").exists()


def test_a_missing_object_is_not_fetched(tmp_path: Path, traps: Path) -> None:
    origin = make_repository(tmp_path / "origin", {"a.txt": b"content\n"})
    git(origin, "config", "uploadpack.allowFilter", "true")
    git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")
    clone = tmp_path / "clone"
    url = f"file://{origin}"
    git(tmp_path, "clone", "--quiet", "--filter=blob:none", "--no-checkout", url, str(clone))
    git(clone, "config", "remote.origin.uploadpack", trap(traps, "uploadpack"))
    git(clone, "reset", "--quiet", "--no-refresh", "HEAD")
    (clone / "a.txt").write_text("other\n")
    found = kept(clone)
    assert "patch" not in found.objects
    assert "a.txt (its committed content is not in the repository)" in (found.code.reason or "")
    assert not (traps / "uploadpack.ran").exists()
