"""What a run loaded, as ``instrument runs show`` draws it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from instrument.cli.output import table
from instrument.cli.words import short_digest, size

if TYPE_CHECKING:
    from rich.console import RenderableType

_MOST = 40
_Load = Mapping[str, Any]


def loads_table(models: Sequence[_Load], data: Sequence[_Load]) -> "RenderableType":
    """Models and data: what was asked for, and what it was."""
    rows = [_model(load) for load in models] + [_data(load) for load in data]
    if len(rows) > _MOST:
        more = f"and {len(rows) - _MOST} more; --json shows all"
        rows[_MOST:] = [("…", more, "", "", "")]
    return table(["what", "asked for", "content", "size", "is"], rows)


def _model(load: _Load) -> tuple[str, ...]:
    name = str(load.get("requested") or load.get("loader"))
    commit = load.get("commit")
    asked = f"{name} @ {commit[:8]}" if commit else name
    return str(load.get("what")), asked, *_content(load), ", ".join(_facts(load))


def _facts(load: _Load) -> Iterator[str]:
    if load.get("class_name"):
        yield str(load["class_name"])
    if load.get("parameters") is not None:
        yield f"{load['parameters']:,} parameters"
    if load.get("dtype"):
        yield str(load["dtype"])
    if load.get("ran_code"):
        yield "ran its own code"


def _data(load: _Load) -> tuple[str, ...]:
    asked = str(load.get("requested") or load.get("reader"))
    rows = load.get("rows")
    return "data", asked, *_content(load), f"{rows:,} rows" if rows is not None else ""


def _content(load: _Load) -> tuple[str, str]:
    """Digest and size; in place of a digest that is missing, why."""
    digest = load.get("digest")
    known = short_digest(digest) if digest else str(load.get("reason") or "not identified")
    return known, size(load.get("size_bytes"))
