"""A snapshot of the environment for people: as a page, and in one line."""

import sys
from collections.abc import Iterable, Mapping, Sequence
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
        [each.part.replace("_", " "), each.status.replace("_", " "), each.reason or "-"]
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
    """Facts, one a line; below them the lists of alike things as tables; then what is unknown."""
    from rich.console import Group

    whole: Mapping[str, Any] = part if isinstance(part, Mapping) else {"": part}
    reasons = [(name, f"unknown: {why}") for name, why in _mapping(whole.get("reasons")).items()]
    fields = {name: value for name, value in whole.items() if name != "reasons"}
    rows = _rows(fields)
    if rows:
        return Group(_table_of(rows), facts(reasons))
    tables = {name: rows for name, value in fields.items() if (rows := _rows(value))}
    simple = {name: value for name, value in fields.items() if name not in tables}
    pages = [_facts_page(simple, reasons)] if simple else []
    for name, rows in tables.items():
        pages += [text(name.replace("_", " "), "dim")] if name else []
        pages.append(_table_of(rows))
    return Group(*pages)


def _facts_page(fields: Mapping[str, Any], reasons: Sequence[tuple[str, str]]) -> "RenderableType":
    """One fact a line; on a terminal many stand beside each other."""
    from rich.columns import Columns

    known = {name: value for name, value in flatten(fields).items() if value is not None}
    lines = [*((name, _fact(name, value)) for name, value in known.items()), *reasons]
    if len(lines) <= _MOST_FACTS or not sys.stdout.isatty():
        return facts(lines)
    return Columns([text(f"{name} {value}") for name, value in lines], column_first=True)


def _rows(value: Any) -> list[dict[str, Any]]:
    """Alike things, one a row, as flat mappings; none when `value` is something else.

    They are alike when they have the same fields, such as GPUs, file systems and NUMA nodes.
    """
    if isinstance(value, Mapping):
        named: list[Any] = [
            {"": name, **item} if isinstance(item, Mapping) else item
            for name, item in value.items()
            if item is not None
        ]
    else:
        named = value if isinstance(value, list) else []
    if not named or not all(isinstance(item, Mapping) for item in named):
        return []
    rows = [flatten(item) for item in named]
    return rows if len({frozenset(row) for row in rows}) == 1 else []


def _table_of(rows: list[dict[str, Any]]) -> "RenderableType":
    """The rows as a table, without the columns in which nothing stands."""
    names = [name for name in rows[0] if any(row[name] not in (None, []) for row in rows)]
    cells = [["-" if row[n] is None else _fact(n, row[n]) for n in names] for row in rows]
    return table([name.replace("_", " ") for name in names], cells)


def _fact(name: str, value: Any) -> str:
    if name.endswith("_bytes") and isinstance(value, int):
        return size(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return value_text(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
