"""Writes docs/store-format.md: the template beside it, with the tables that the types give.

    python docs/store_format.py

A field without a description, or a description without a field, is an error.
"""

import enum
import inspect
import re
import types
import typing
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from instrument import audit, records, summary, vocabulary
from instrument.capture import manifest
from instrument_local import imported, summaries, version_files
from instrument_local.bundles import contents as bundle
from instrument_local.ledger import log
from instrument_local.packs import contents

HERE: Final = Path(__file__).parent
TEMPLATE: Final = HERE / "store-format.template.md"
RESULT: Final = HERE / "store-format.md"

_NAMES: Final[dict[Any, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    datetime: "time",
    type(None): "null",
    Any: "any",
}


def store_format() -> str:
    """The whole document."""
    parts = {
        "records": "\n".join(map(record_section, records.KINDS.items())),
        "values": "\n".join(
            value_section(kind)
            for kind in (
                vocabulary.GitState,
                vocabulary.Submodule,
                vocabulary.Health,
                vocabulary.GivenSeed,
                vocabulary.File,
            )
        ),
        "manifest": "\n".join(
            value_section(kind)
            for kind in (
                manifest.Manifest,
                manifest.Place,
                manifest.ChangedFile,
                manifest.RedactedLines,
                manifest.LeftOut,
            )
        ),
        "version": field_table(vocabulary.ArtifactVersion, leave_out=("aliases",)),
        "alias": field_table(version_files.AliasFact),
        "journal": field_table(summaries.SealedJournal),
        "summary": field_table(summary.RunSummary),
        "recording": field_table(summary.Recording),
        "group": field_table(contents.Group),
        "imported": field_table(imported.Imported),
        "bundle": field_table(bundle.Manifest),
        "part": field_table(bundle.Part),
        "content": field_table(bundle.Content),
        "left_out": field_table(bundle.LeftOut),
        "member": field_table(contents.Member),
        "head": field_table(log.Head),
        "events": "\n".join(map(event_section, audit.EVENTS.items())),
        "who": field_table(audit.Who),
        "format": str(records.FORMAT_VERSION),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], text)


def record_section(item: tuple[str, type]) -> str:
    """The section of one kind of record."""
    kind, cls = item
    return f"### `{kind}`\n{description(cls)}\n\n{field_table(cls)}"


def event_section(item: tuple[str, type]) -> str:
    """The section of one kind of event, without the fields that all have."""
    name, cls = item
    common = audit.Event.__struct_fields__
    return f"#### `{name}`\n{description(cls)}\n\n{field_table(cls, leave_out=common)}"


def value_section(cls: type) -> str:
    """The section of a value that stands inside records."""
    return f"### {cls.__name__}\n{description(cls)}\n\n{field_table(cls)}"


def field_table(cls: type, leave_out: tuple[str, ...] = ()) -> str:
    """A table of the fields of `cls`: name, JSON type, meaning."""
    meanings = dict(attributes(cls))
    hints = typing.get_type_hints(cls)
    names = [field.name for field in msgspec.structs.fields(cls)]
    if set(names) - set(leave_out) != set(meanings) - set(leave_out):
        raise SystemExit(f"{cls.__name__}: fields {names}, described {sorted(meanings)}")
    rows = [
        f"| `{name}` | {json_type(hints[name])} | {meanings[name]} |"
        for name in names
        if name not in leave_out
    ]
    return "\n".join(["| field | type | meaning |", "|---|---|---|", *rows]) + "\n"


def description(cls: type) -> str:
    """The docstring of `cls` up to its attributes."""
    return (inspect.getdoc(cls) or "").partition("\n\nAttributes:")[0]


def attributes(cls: type) -> Iterator[tuple[str, str]]:
    """Name and meaning of each attribute that the docstring of `cls` describes."""
    listing = (inspect.getdoc(cls) or "").partition("\nAttributes:\n")[2]
    for entry in re.split(r"\n(?=    \w)", listing):
        name, _, meaning = entry.strip().partition(":")
        if name:
            yield name, " ".join(meaning.split()).replace("|", "\\|").replace("None", "null")


def json_type(hint: Any) -> str:
    """What a value of type `hint` is in JSON."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in _NAMES:
        return _NAMES[hint]
    if origin in {types.UnionType, typing.Union}:
        return " or ".join(map(json_type, arguments))
    if origin in {tuple, list}:
        return f"array of {json_type(arguments[0])}"
    if origin is dict:
        return "object" if arguments[1] is Any else f"object of {json_type(arguments[1])}"
    if issubclass(hint, enum.StrEnum):
        return " or ".join(f"`{member}`" for member in hint)
    return f"[{hint.__name__}](#{hint.__name__.lower()})"


if __name__ == "__main__":
    RESULT.write_text(store_format(), encoding="utf-8")
