"""Every installed distribution, held against what Python itself says."""

import importlib.metadata
import json
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from instrument.capture.distributions import normalised
from instrument.capture.package_hashes import package_hashes
from instrument.capture.packages import all_packages, installers, key_packages, shadowed, sources
from instrument.capture.parts import NotKnown


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


def python_s_own_view() -> dict[str, str | None]:
    """Version by normalised name, the first one on the path, as importlib.metadata finds them."""
    found: dict[str, str | None] = {}
    for distribution in importlib.metadata.distributions():
        found.setdefault(normalised(distribution.metadata["Name"]), distribution.version)
    return found


def test_every_form_as_python_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    make(
        first,
        "My_Pkg-1.0.dist-info",
        "Metadata-Version: 2.1\nName: My.Pkg\nVersion: 1.0\n\nName: x\n",
    )
    make(second, "My_Pkg-2.0.dist-info", "Name: My.Pkg\nVersion: 2.0\n")
    make(second, "my.pkg-3.0.dist-info", "Name: my-pkg\nVersion: 3.0\n")
    make(second, "Old.egg-info", "Name: Old\nVersion: 0.1+local\n")
    (second / "Single-3.1-py3.11.egg-info").write_text("Name: Single\nVersion: 3.1\n")
    make(second, "crlf-1.dist-info", "Name: crlf\r\nVersion: 1\r\n\r\n")
    make(second, "accents-1.dist-info", "Name: accents\nVersion: 1\nAuthor: Zo\u00eb\n")
    egg = tmp_path / "In_Egg-4.2-py3.11.egg"
    make(egg, "EGG-INFO", "Name: In-Egg\nVersion: 4.2\n")
    with zipfile.ZipFile(tmp_path / "wheels.zip", "w") as archive:
        archive.writestr("zipped-5.0.dist-info/METADATA", "Name: zipped\nVersion: 5.0\n")
        archive.writestr("zipped/__init__.py", "")
    with zipfile.ZipFile(tmp_path / "Ze-6.0-py3.11.egg", "w") as archive:
        archive.writestr("EGG-INFO/PKG-INFO", "Name: Ze\nVersion: 6.0\n")
    (tmp_path / "no.zip").write_text("no archive")
    places = [first, second, first, egg, tmp_path / "wheels.zip", tmp_path / "Ze-6.0-py3.11.egg"]
    monkeypatch.setattr(
        "sys.path", [*map(str, places), str(tmp_path / "no.zip"), str(tmp_path / "none")]
    )
    expected = {
        "my-pkg": "1.0", "old": "0.1+local", "single": "3.1", "crlf": "1", "accents": "1",
        "in-egg": "4.2", "zipped": "5.0", "ze": "6.0",
    }  # fmt: skip
    assert all_packages() == expected
    assert python_s_own_view() == expected
    assert {name: set(hidden) for name, hidden in shadowed().items()} == {"my-pkg": {"2.0", "3.0"}}


def test_of_two_in_one_directory_python_s_choice_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        make(tmp_path, f"twice-{number}.dist-info", f"Name: twice\nVersion: {number}\n")
    make(tmp_path, "twice.egg-info", "Name: twice\nVersion: 9\n")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert all_packages() == {"twice": importlib.metadata.version("twice")}
    assert len(shadowed()["twice"]) == 5


BROKEN = {
    "gone": None,
    "empty": b"",
    "binary": bytes(range(256)) * 10,
    "no_name": b"Version: 9.9\n",
    "late": b"Summary: " + b"x" * 5000 + b"\nName: other\nVersion: 1\n",
    "body_only": b"\nName: other\nVersion: 1\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_metadata_leaves_the_name_of_its_directory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / f"{name}-9.9.dist-info"
    directory.mkdir()
    content = BROKEN[name]
    if content is not None:
        (directory / "METADATA").write_bytes(content)
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert all_packages() == {name.replace("_", "-"): "9.9"}


def test_metadata_that_is_a_pipe_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a-1.dist-info", "Name: a\nVersion: 1\n")
    for name in ("METADATA", "direct_url.json", "INSTALLER"):
        (tmp_path / "piped-2.dist-info").mkdir(exist_ok=True)
        os.mkfifo(tmp_path / "piped-2.dist-info" / name)
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert all_packages() == {"a": "1", "piped": "2"}
    assert (sources(), installers()) == ({}, {})


def test_what_pip_could_not_remove_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "~orch-2.0.dist-info", "Name: torch\nVersion: 2.0\n")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert all_packages() == {}


def test_what_is_installed_meanwhile_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a-1.dist-info", "Name: a\nVersion: 1\n")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert all_packages() == {"a": "1"}
    make(tmp_path, "b-2.dist-info", "Name: b\nVersion: 2\n")
    assert all_packages() == {"a": "1", "b": "2"}


NOTHING = {
    "editable": False, "commit": None, "requested": None, "subdirectory": None, "hashes": None,
}  # fmt: skip


def test_sources_of_what_came_from_no_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a-1.dist-info", "Name: a\nVersion: 1\n")
    make(tmp_path, "b-1.dist-info", "Name: b\nVersion: 1\n")
    make(tmp_path, "c-1.dist-info", "Name: c\nVersion: 1\n")
    editable = {"url": "file:///src/a", "dir_info": {"editable": True}}
    (tmp_path / "a-1.dist-info" / "direct_url.json").write_text(json.dumps(editable))
    vcs = {"url": "https://me:pw@h/b.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
    vcs["vcs_info"] |= {"requested_revision": "main"}  # type: ignore[operator]
    (tmp_path / "b-1.dist-info" / "direct_url.json").write_text(json.dumps(vcs))
    (tmp_path / "c-1.dist-info" / "direct_url.json").write_text("{not json")
    make(tmp_path, "d-1.dist-info", "Name: d\nVersion: 1\n")
    wheel = {"url": "https://h/d.whl?sig=secret", "archive_info": {"hashes": {"sha256": "ef"}}}
    (tmp_path / "d-1.dist-info" / "direct_url.json").write_text(json.dumps(wheel))
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert sources() == {
        "a": {**NOTHING, "url": "file:///src/a", "editable": True},
        "b": {**NOTHING, "url": "https://h/b.git", "commit": "abc", "requested": "main"},
        "d": {**NOTHING, "url": "https://h/d.whl", "hashes": {"sha256": "ef"}},
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


def test_installers_by_what_they_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, installer in {"a": "pip\n", "b": "uv\n", "c": "pip\n", "d": ""}.items():
        make(tmp_path, f"{name}-1.dist-info", f"Name: {name}\nVersion: 1\n")
        (tmp_path / f"{name}-1.dist-info" / "INSTALLER").write_text(installer)
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert installers() == {"pip": ["a", "c"], "uv": ["b"]}


def test_hashes_are_of_the_package_not_of_its_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def digest(place: str, *lines: str) -> str:
        make(tmp_path / place, "a-1.dist-info", "Name: a\nVersion: 1\n")
        (tmp_path / place / "a-1.dist-info" / "RECORD").write_text("".join(f"{x}\n" for x in lines))
        monkeypatch.setattr("sys.path", [str(tmp_path / place)])
        return package_hashes()["a"]

    code, meta = "a/__init__.py,sha256=AA,10", "a-1.dist-info/METADATA,sha256=BB,20"
    plain = digest("plain", code, meta, "a-1.dist-info/RECORD,,")
    by_pip = digest(
        "pip",
        "../../bin/a,sha256=CC,30", meta, code, "a/__pycache__/__init__.cpython-311.pyc,,",
        "a-1.dist-info/INSTALLER,sha256=DD,4", "a-1.dist-info/direct_url.json,sha256=EE,9",
    )  # fmt: skip
    assert by_pip == plain
    assert digest("changed", code.replace("AA", "XX"), meta) != plain
    assert re.fullmatch("sha256:[0-9a-f]{64}", plain)


def test_without_any_record_there_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    with pytest.raises(NotKnown, match="RECORD"):
        package_hashes()
