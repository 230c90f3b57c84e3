"""The checkpoints that a store keeps for ever: ``ledger/checkpoints/<size>.note`` and ``.ssh``.

A further one of the same size is ``<size>.2.note`` and so on. ``.ssh`` is a signature that
``ssh-keygen`` made of the three lines of the checkpoint of that size.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from instrument_local.files import read_file
from instrument_local.findings import Findings
from instrument_local.layout import Layout
from instrument_local.ledger.notes import Checkpoint, Note, parse_note

_NAME: Final = re.compile(r"(0|[1-9][0-9]{0,17})(?:\.([2-9]|[1-9][0-9]{1,8}))?\.(note|ssh)")


class Stored(NamedTuple):
    """A checkpoint in the store.

    Attributes:
        path: Its file.
        note: What it holds.
    """

    path: Path
    note: Note


def keep(layout: Layout, size: int, data: bytes, kind: str = "note") -> Path:
    """Keep `data` under the first free name, unless it is kept already."""
    directory = layout.root / "ledger/checkpoints"
    layout.files.make_durable_directory(directory)
    number = 1
    while True:
        path = directory / (f"{size}.{kind}" if number == 1 else f"{size}.{number}.{kind}")
        if layout.files.publish(path, data) or read_file(path) == data:
            return path
        number += 1


def is_kept(layout: Layout, checkpoint: Checkpoint) -> bool:
    """Whether `checkpoint` is kept already, signed or not."""
    stored = load(layout, Findings(layout))
    return any(each.note.checkpoint == checkpoint for each in stored)


def paths(layout: Layout, kind: str) -> Iterator[tuple[int, Path]]:
    """Size and file of all that is kept, the smallest first."""
    found = []
    for path in (layout.root / "ledger/checkpoints").glob("*"):
        match = _NAME.fullmatch(path.name)
        if match and match[3] == kind:
            found.append((int(match[1]), path))
    yield from sorted(found)


def load(layout: Layout, findings: Findings) -> list[Stored]:
    """All checkpoints that can be read."""
    found = []
    for size, path in paths(layout, "note"):
        with findings.reading("checkpoint_damaged", path):
            note = parse_note(findings.read(path))
            if note.checkpoint.size == size:
                found.append(Stored(path, note))
            else:
                findings.add(
                    "checkpoint_damaged",
                    path,
                    f"one of {size} entries",
                    f"one of {note.checkpoint.size}",
                )
    return found


def compare(
    stored: list[Stored], origin: str, roots: Mapping[int, bytes], findings: Findings
) -> set[Checkpoint]:
    """Every checkpoint that was ever kept must be the beginning of the ledger as it is.

    Returns:
        Those that are.
    """
    fitting = set()
    for path, note in stored:
        checkpoint = note.checkpoint
        if checkpoint.origin != origin:
            findings.add("checkpoint_of_another", path, origin, checkpoint.origin)
        elif checkpoint.size not in roots:
            largest = f"{max(roots)} entries"
            findings.add("ledger_cut", path, f"{checkpoint.size} entries", largest)
        elif roots[checkpoint.size] != checkpoint.root:
            expected, found = map(_text, (checkpoint.root, roots[checkpoint.size]))
            findings.add("ledger_rewritten", path, f"root {expected}", f"root {found}")
        else:
            fitting.add(checkpoint)
    return fitting


def _text(root: bytes) -> str:
    return base64.b64encode(root).decode()
