"""A snapshot of the environment for people: as a page, and in one line."""

import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from instrument.cli.differences import flatten
from instrument.cli.output import facts, section, table, text
from instrument.cli.words import count, size, value_text
from instrument.vocabulary import Health

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

_HEADLINE_PACKAGES: Final = ("torch", "transformers", "numpy")
_MOST_FACTS: Final = 16


def environment_page(snapshot: Mapping[str, Any], health: Iterable[Health]) -> "Group":
    """All parts of `snapshot`, and what is not whole and why."""
    from rich.console import Group
    from rich.text import Text

    pages: list[RenderableType] = []
    for name, part in snapshot.items():
        if (isinstance(part, list) and part) or any(flatten(_mapping(part)).values()):
            pages += [*section(name.replace("_", " "), _part_page(part)), Text()]
    gaps = [
        [each.part, each.status.replace("_", " "), each.reason or "-"]
        for each in health
        if each.status != "done"
    ]
    if gaps:
        pages += section("not captured", table(["part", "", "reason"], gaps))
    return Group(*pages)


def headline(snapshot: Mapping[str, Any]) -> str:
    """The few facts that people ask for first, as far as they are there."""
    packages = _mapping(snapshot.get("packages"))
    python = _mapping(snapshot.get("python"))
    system = _mapping(snapshot.get("system"))
    found = [f"Python {python['version']}"] if python.get("version") else []
    found += [f"{name} {packages[name]}" for name in _HEADLINE_PACKAGES if packages.get(name)]
    found += [count(len(packages), "package")] if packages else []
    names = [system.get("distribution"), system.get("distribution_version"), system.get("machine")]
    found += [" ".join(str(name) for name in names if name)] if any(names) else []
    return ", ".join(found)


def _part_page(part: Mapping[str, Any] | list[Any]) -> "RenderableType":
    """One fact a line; on a terminal many stand beside each other."""
    from rich.columns import Columns

    if isinstance(part, list):
        lines = [("", value_text(item)) for item in part]
    else:
        flat = flatten(part)
        lines = [(name, _fact(name, value)) for name, value in flat.items() if value is not None]
    if len(lines) <= _MOST_FACTS or not sys.stdout.isatty():
        return facts(lines)
    return Columns([text(f"{name} {value}".strip()) for name, value in lines], column_first=True)


def _fact(name: str, value: Any) -> str:
    if name.endswith("_bytes") and isinstance(value, int):
        return size(value)
    return value_text(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
