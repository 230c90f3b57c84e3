"""The plan of the house names what stands in it."""

import ast
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_NAME = re.compile(r"^(?:\d| ) {0,6}((?:[a-z_]+(?:\.py|/) ?)+)")


def test_the_plan_names_every_room_and_no_other() -> None:
    plan = (ROOT / "docs/architecture.md").read_text().split("```")[1]
    house, _, outside = plan.partition("backends/")
    named = {name for line in house.splitlines() for name in _names(line)}
    assert named == _rooms(ROOT / "instrument")
    for name in (name for line in outside.splitlines() for name in _names(line)):
        local = ROOT / "backends/instrument_local"
        assert (local / name).exists() or (local.parent / name).exists(), name


def _names(line: str) -> list[str]:
    found = _NAME.match(line)
    return found[1].split() if found else []


def _rooms(package: Path) -> set[str]:
    found = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    return found | {path.name for path in package.glob("*.py") if not path.name.startswith("__")}


@pytest.mark.parametrize("room", ["", "bundles", "repair", "upkeep"])
def test_the_map_of_a_room_names_every_file_in_it_and_no_other(room: str) -> None:
    package = ROOT / "backends/instrument_local" / room
    tree = ast.parse((package / "__init__.py").read_text())
    named = re.findall(r"[a-z_]+\*?\.py", ast.get_docstring(tree) or "")
    there = {path.name for path in package.glob("*.py") if path.name != "__init__.py"}
    assert [name for name in there if not any(fnmatch(name, one) for one in named)] == []
    assert [name for name in named if not any(package.glob(name))] == []
