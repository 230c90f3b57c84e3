"""Every installed distribution, held against what Python itself says."""

import importlib.metadata
import json
import re
import subprocess
from pathlib import Path

import pytest

from instrument.capture.packages import all_packages, key_packages, normalised, sources


def test_agrees_with_importlib_metadata() -> None:
    expected: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        expected.setdefault(name, distribution.version)
    assert all_packages() == expected
    assert len(expected) > 20


def test_key_packages_are_of_the_same_versions() -> None:
    packages = all_packages()
    found = key_packages()
    assert found
    assert found == {name: packages[name] for name in found}


def make(directory: Path, entry: str, metadata: str) -> None:
    (directory / entry).mkdir(parents=True)
    name = "METADATA" if entry.endswith(".dist-info") else "PKG-INFO"
    (directory / entry / name).write_text(metadata)


def test_every_form_and_the_first_on_the_path_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    make(
        first,
        "My_Pkg-1.0.dist-info",
        "Metadata-Version: 2.1\nName: My.Pkg\nVersion: 1.0\n\nName: x\n",
    )
    make(second, "My_Pkg-2.0.dist-info", "Name: My.Pkg\nVersion: 2.0\n")
    make(second, "Old.egg-info", "Name: Old\nVersion: 0.1+local\n")
    (second / "Single-3.1-py3.11.egg-info").write_text("Name: Single\nVersion: 3.1\n")
    make(second, "crlf-1.dist-info", "Name: crlf\r\nVersion: 1\r\n\r\n")
    (second / "broken-9.9.dist-info").mkdir()
    monkeypatch.setattr("sys.path", [str(first), str(second), str(tmp_path / "none.zip")])
    assert all_packages() == {
        "my-pkg": "1.0", "old": "0.1+local", "single": "3.1", "crlf": "1", "broken": "9.9",
    }  # fmt: skip


def test_what_is_installed_meanwhile_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a-1.dist-info", "Name: a\nVersion: 1\n")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert all_packages() == {"a": "1"}
    make(tmp_path, "b-2.dist-info", "Name: b\nVersion: 2\n")
    assert all_packages() == {"a": "1", "b": "2"}


def test_sources_of_what_came_from_no_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a-1.dist-info", "Name: a\nVersion: 1\n")
    make(tmp_path, "b-1.dist-info", "Name: b\nVersion: 1\n")
    make(tmp_path, "c-1.dist-info", "Name: c\nVersion: 1\n")
    editable = {"url": "file:///src/a", "dir_info": {"editable": True}}
    (tmp_path / "a-1.dist-info" / "direct_url.json").write_text(json.dumps(editable))
    vcs = {"url": "https://me:pw@h/b.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
    (tmp_path / "b-1.dist-info" / "direct_url.json").write_text(json.dumps(vcs))
    (tmp_path / "c-1.dist-info" / "direct_url.json").write_text("{not json")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert sources() == {
        "a": {"url": "file:///src/a", "editable": True, "commit": None},
        "b": {"url": "https://h/b.git", "editable": False, "commit": "abc"},
    }


def test_importlib_metadata_is_not_loaded(python: str) -> None:
    program = (
        "import sys; from instrument.capture.snapshot import capture_snapshot;"
        "capture_snapshot(3); print(sorted({'importlib.metadata', 'email', 'numpy', 'psutil', "
        "'pynvml', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["Scikit_Learn", "scikit.learn", "scikit--learn"])
def test_normalised(name: str) -> None:
    assert normalised(name) == "scikit-learn"
