"""``instrument store``: what lies in the store, and fewer files for it."""

from collections.abc import Mapping
from typing import Any, Protocol, cast

import click
import msgspec

from instrument.cli.opening import Options, open_store
from instrument.cli.output import emit_json, facts, say, show
from instrument.cli.why import why_option
from instrument.cli.words import count, size
from instrument.errors import UsageError
from instrument.protocols import Packing, Packs, Store, Usage


@click.group()
def store() -> None:
    """Look after the store."""


@store.command()
@click.option("--all", "everything", is_flag=True, help="Pack young runs, too, and few runs, too.")
@why_option()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def pack(options: Options, everything: bool, why: str | None, as_json: bool) -> int:
    """Move runs that have ended into a few compressed files.

    They are listed, shown, compared and verified as before. Runs of the last 24 hours stay as they
    are, and what is left over when there are few; --all packs them, too. What was not closed in
    order (a process was killed, `repair` sealed the run) waits a week after its last record, with
    --all, too: its process could only be asleep. It may be interrupted at any moment, and called
    again.
    """
    packing = _open(options).pack(everything=everything, why=why)
    if as_json:
        emit_json(packing)
    else:
        _tell(packing)
    return 0


@store.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def info(options: Options, as_json: bool) -> int:
    """Show how much lies in the store, and where."""
    opened = _open(options)
    usage = opened.usage()
    found = {"path": opened.location, **opened.info(), **msgspec.structs.asdict(usage)}
    if as_json:
        emit_json(found)
    else:
        show(facts(_lines(found, usage)))
    return 0


class _PackingStore(Store, Packs, Protocol):
    """A store that does both."""


def _open(options: Options) -> _PackingStore:
    opened = open_store(options, must_exist=True)
    if not isinstance(opened, Packs):
        raise UsageError(f"{opened.location} is kept by a backend that has no packs")
    return cast("_PackingStore", opened)


def _tell(packing: Packing) -> None:
    if packing.runs:
        before, after = size(packing.size_bytes_before), size(packing.size_bytes_after)
        say(
            f"packed {count(packing.runs, 'run')}: {count(packing.files, 'file')}, {before} "
            f"-> {count(packing.packs, 'pack')}, {after}"
        )
    else:
        say("nothing to pack")
    for reason, runs in sorted(packing.left.items()):
        say(f"left {count(runs, 'run')}: {reason}")


def _lines(found: Mapping[str, Any], usage: Usage) -> list[tuple[str, str]]:
    network = " (network)" if found["is_network"] else ""
    lines = [
        ("path", str(found["path"])),
        ("file system", f"{found['file_system'] or 'unknown'}{network}"),
        ("format", str(found["format"] or "unknown")),
        ("store id", found["store_id"] or "-"),
        ("index", found["index"] or "made in memory for each question"),
        ("runs", f"{usage.runs:,}, {usage.packed_runs:,} of them in packs only"),
    ]
    for name, part in usage.parts.items():
        lines.append((name, f"{count(part.files, 'file')}, {size(part.size_bytes)}"))
    for kind, part in usage.artifacts.items():
        lines.append((f"type {kind}", f"{count(part.files, 'version')}, {size(part.size_bytes)}"))
    return lines
