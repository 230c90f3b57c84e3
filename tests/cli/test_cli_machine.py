"""``env`` and ``doctor``."""

import json
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from cli.support import Cli, Writer

from instrument.cli.checkup import check_up
from instrument.cli.opening import Options


def test_doctor_in_json(cli: Cli, store_path: Path) -> None:
    result = cli("doctor", "--json")
    assert result.code == 0
    assert result.json["ok"] is True
    checks = {each["name"]: each for each in result.json["checks"]}
    assert checks.keys() >= {
        "instrument",
        "store",
        "write test",
        "backend local",
        "backend wandb",
        "git",
        "gpu",
    }
    assert all(each.keys() == {"name", "status", "detail", "hint"} for each in checks.values())
    assert str(store_path) in checks["store"]["detail"]
    assert "there is no store at" in checks["store"]["detail"]
    assert checks["free space"]["status"] == "ok"
    assert not store_path.exists(), "looking must not make a store"


def test_doctor_for_people(cli: Cli, writer: Writer) -> None:
    writer.run("only-run")
    result = cli("doctor")
    assert result.code == 0
    assert "backend local" in result.out


def test_doctor_finds_a_place_that_cannot_be_written(cli: Cli, tmp_path: Path) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    result = cli("--store", blocked, "doctor", "--json")
    assert result.code == 1
    failed = [each["name"] for each in result.json["checks"] if each["status"] == "failed"]
    assert "write test" in failed


def test_doctor_finds_a_place_that_takes_little() -> None:
    command = f"ulimit -f 512; exec {sys.executable} -m instrument doctor --json"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    [failed] = [each for each in json.loads(done.stdout)["checks"] if each["status"] == "failed"]
    assert failed["name"] == "write test"
    assert "too large" in failed["detail"]


def test_doctor_warns_of_a_disk_that_is_nearly_full(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for free, status in ((64 * 2**20 - 1, "warning"), (64 * 2**20, "ok")):
        usage = types.SimpleNamespace(free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda _path, usage=usage: usage)
        checks = {check.name: check for check in check_up(Options(store=store_path))}
        assert checks["free space"].status == status
        assert "64 MiB" in checks["free space"].detail


def test_env_is_valid_and_captured(cli: Cli) -> None:
    result = cli("env", "--level", "1", "--require", "msgspec", "--json")
    assert result.code == 0
    assert result.json["is_valid"] is True
    assert (result.json["errors"], result.json["level"]) == ([], 1)
    assert result.json["environment"]["python"]["version"]
    assert result.err == ""


def test_env_says_no(cli: Cli) -> None:
    result = cli("env", "--require", "no-such-package", "--min-gpu-memory-gb", "100000", "--json")
    assert result.code == 1
    assert result.json["is_valid"] is False
    assert any("no-such-package" in error for error in result.json["errors"])
    page = cli("env", "--require", "no-such-package")
    assert page.code == 1
    assert "error: " in page.err
    assert "python" in page.out


@pytest.mark.parametrize("level", ["1", "2", "3"])
def test_env_shows_every_part_and_why_others_are_unknown(cli: Cli, level: str) -> None:
    told = cli("env", "--level", level, "--json").json
    parts = {**told["environment"], **told["place"]}
    page = cli("env", "--level", level)
    assert page.code == 0
    for line in told["health"]:
        title = line["part"].replace("_", " ")
        if line["status"] == "done" and flattened(parts[line["part"]]):
            assert f"\n{title}\n" in f"\n{page.out}"
        elif line["status"] != "done":
            [row] = [each for each in page.out.splitlines() if each.startswith(f"  {title}  ")]
            assert line["reason"] in row
    for version in told["environment"]["packages"].values():
        assert str(version) in page.out


def flattened(part: Any) -> list[Any]:
    """What a part says, without what is empty."""
    values = part.values() if isinstance(part, dict) else part if isinstance(part, list) else [part]
    nested = isinstance(part, (dict, list))
    found = [each for value in values for each in (flattened(value) if nested else [value])]
    return [each for each in found if each]
