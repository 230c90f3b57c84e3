"""`ConfigCapture`, the face for people."""

import sys
from pathlib import Path
from typing import Any

import pytest

from instrument.canonical import canonical_bytes
from instrument.capture.validate import ConfigCapture, version_key
from instrument.errors import UsageError
from instrument.vocabulary import EnvironmentCaptureLevel


def check(*packages: str) -> dict[str, Any]:
    return ConfigCapture().validate_environment(required_packages=packages)


def test_capture_environment_is_plain_and_has_the_code() -> None:
    found = ConfigCapture().capture_environment(EnvironmentCaptureLevel.BASIC)
    assert canonical_bytes(found)
    assert found["level"] == 1
    assert found["git"] == {"reason": "the code is not in a git repository"}
    assert {line["part"] for line in found["health"]} == {"python", "packages", "gpu", "ci"}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, version in {"My_Lib": "9.2", "pre": "2.0rc1", "odd": "not-a-version"}.items():
        directory = tmp_path / "site" / f"{name}-{version}.dist-info"
        directory.mkdir(parents=True)
        (directory / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    monkeypatch.setattr("sys.path", [str(tmp_path / "site"), *sys.path])


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("requirement", "valid"),
    [
        ("my-lib", True),
        ("my.LIB", True),
        ("my_lib>=9.2", True),
        ("my-lib<11.8", True),
        ("my-lib>=11.8", False),
        ("my-lib==9.2.0", True),
        ("my-lib~=9.1", True),
        ("pre>=1.9", True),
        ("odd>=1", False),
        ("odd", True),
        ("not-there", False),
        ("not-there>=1", False),
        ("not-there>=1; python_version<'3'", True),
    ],
)
def test_required_packages(requirement: str, valid: bool) -> None:
    pytest.importorskip("packaging")
    found = check(requirement)
    assert found["is_valid"] is valid
    assert len(found["errors"]) == (0 if valid else 1)


@pytest.mark.parametrize("requirement", ["", ">=1", "torch>>1", "a b"])
def test_requirements_that_do_not_parse(requirement: str) -> None:
    pytest.importorskip("packaging")
    with pytest.raises(UsageError, match="is not a requirement"):
        check(requirement)


def test_unknown_gpus_do_not_count_as_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instrument.nvml._library_is_there", lambda: False)
    found = ConfigCapture().validate_environment(min_gpu_memory_gb=1)
    assert found["is_valid"] is False
    assert "no NVIDIA driver" in found["errors"][0]
    assert found["warnings"] == []


@pytest.mark.parametrize("minimum", [float("nan"), float("inf"), -1.0])
def test_memory_that_cannot_be_compared(minimum: float) -> None:
    with pytest.raises(UsageError, match="cannot be compared"):
        ConfigCapture().validate_environment(min_gpu_memory_gb=minimum)


def test_versions_compare_as_versions() -> None:
    assert version_key("9.2") < version_key("11.8")
    assert version_key("12") == version_key("12.0")
    assert version_key("12.10") > version_key("12.9")
    for bad in ("", "12.x", "twelve"):
        with pytest.raises(UsageError):
            version_key(bad)


def test_without_packaging_a_version_counts_as_unknown(
    installed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("packaging", "packaging.requirements", "packaging.version"):
        monkeypatch.setitem(sys.modules, name, None)
    assert check("my-lib") == {"is_valid": True, "errors": [], "warnings": []}
    assert check("gone>=1")["errors"] == [
        "'gone>=1' cannot be checked without packaging; pip install packaging"
    ]


@pytest.mark.usefixtures("installed")
def test_errors_are_one_line_each() -> None:
    pytest.importorskip("packaging")
    assert check("my-lib>=11.8", "not_There>=1", "odd>=1")["errors"] == [
        "my-lib 9.2 is installed; >=11.8 is needed",
        "not-there is not installed; >=1 is needed",
        "odd not-a-version is installed; >=1 is needed",
    ]


def test_what_is_no_requirement_is_told_in_one_line() -> None:
    with pytest.raises(UsageError) as caught:
        ConfigCapture().validate_environment(required_packages=["torch>"])
    assert str(caught.value).startswith("'torch>' is not a requirement: ")
    assert "\n" not in str(caught.value)
