"""The dependency groups of pyproject.toml name what the files in requirements/ do."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "more"), [("demo", ["torch"]), ("dev", [{"include-group": "demo"}])]
)
def test_a_group_is_what_its_file_lists(name: str, more: list[object]) -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    lines = (ROOT / f"requirements/{name}.in").read_text().splitlines()
    listed = [line.strip() for line in lines if line and line[0] not in "#-"]
    assert [each for each in groups[name] if each not in more] == listed
    assert [each for each in groups[name] if each in more] == more
