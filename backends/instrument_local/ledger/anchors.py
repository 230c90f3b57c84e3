"""Older checkpoints from outside the store: what is brought along, and what this user saw last.

The latter is kept in the user's home. Trust on first use: the first is believed, and every later
ledger must contain it.
"""

import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from instrument.errors import IntegrityError, UsageError
from instrument_local.files import read_file
from instrument_local.findings import Findings
from instrument_local.ledger.notes import Checkpoint, parse_line, parse_note
from instrument_local.ledger.verdict import Anchor


class Seen(msgspec.Struct, frozen=True):
    """Content of the file.

    Attributes:
        checkpoint: The checkpoint, on one line.
        at: When it was seen, for people.
    """

    checkpoint: str
    at: str


def directory() -> Path | None:
    """Where the last checkpoints of all stores are kept; None where there is no home."""
    home = os.environ.get("XDG_STATE_HOME", "")
    try:
        base = Path(home) if Path(home).is_absolute() else Path.home() / ".local/state"
    except RuntimeError:
        return None
    return base / "instrument/ledgers"


def seen_path(origin: str) -> Path | None:
    """Where the last checkpoint of a store is kept; None where there is no home."""
    place = directory()
    return place / f"{origin}.json" if place else None


def last_seen(origin: str) -> tuple[Checkpoint, Seen, Path] | None:
    """What this user saw last of the store; None when that was nothing, or cannot be read."""
    path = seen_path(origin)
    if path is None:
        return None
    with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError, IntegrityError):
        seen = msgspec.json.decode(read_file(path), type=Seen)
        checkpoint = parse_line(seen.checkpoint)
        if checkpoint.origin == origin:
            return checkpoint, seen, path
    return None


def remember(checkpoint: Checkpoint, at: str) -> None:
    """Keep `checkpoint` as the last one seen. Where that fails there is one anchor less."""
    path = seen_path(checkpoint.origin)
    if path is None:
        return
    content = msgspec.json.encode(Seen(checkpoint.line, at))
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_name(f".{secrets.token_hex(8)}")
        temporary.write_bytes(content)
        temporary.replace(path)


def given(since: str) -> Checkpoint:
    """The checkpoint that `since`, a line or the path of a file, holds.

    Raises:
        UsageError: There is none in it.
    """
    is_file = False
    try:
        is_file = "\n" not in since and Path(since).is_file()
        data = read_file(Path(since)) if is_file else since.encode()
        if b"\n" in data.strip():
            return parse_note(data).checkpoint
        return parse_line(data.decode())
    except (IntegrityError, UnicodeDecodeError, OSError, ValueError) as error:
        reason = f"no checkpoint ({error})" if is_file else "neither a file nor a checkpoint"
        raise UsageError(
            f"{since!r:.80} is {reason}; use the line or the file that "
            "`instrument ledger checkpoint` gave"
        ) from error


def brought(origin: str, since: str | None) -> list[Anchor]:
    """The older checkpoints that there are of the store `origin`, `since` among them.

    Raises:
        UsageError: There is none in `since`, or it is of another store.
    """
    found = []
    if since is not None:
        checkpoint = given(since)
        if checkpoint.origin != origin:
            raise UsageError(
                f"the checkpoint is of store {checkpoint.origin}, and this is {origin}"
            )
        source = "the checkpoint that was given"
        found.append(Anchor(checkpoint, source, "Look for the copy of the store it is of."))
    seen = last_seen(origin)
    if seen is not None:
        checkpoint, content, path = seen
        source = f"the checkpoint that this user saw on {content.at}"
        way_out = (
            "Two copies of a store that are both used look so, too: go on with one, and bring "
            "what the other recorded by `instrument export` and `instrument import`. If the "
            f"store was rightly put back to an older copy, or copied so, remove {path}."
        )
        found.append(Anchor(checkpoint, source, way_out))
    return found


def compare(
    older: Sequence[Anchor], roots: Mapping[int, bytes], findings: Findings, path: Path
) -> list[Anchor]:
    """The ledger, at `path` and with `roots`, must begin with what each of `older` stands for.

    Returns:
        They, with what came of it.
    """
    for anchor in older:
        size = anchor.checkpoint.size
        if size not in roots:
            expected = f"{size} entries: {anchor.source}"
            found = f"{max(roots)} entries: an older copy, or its end was cut off"
            findings.add("ledger_rolled_back", path, expected, found)
        elif roots[size] != anchor.checkpoint.root:
            found = f"other first {size} entries: another history"
            findings.add("ledger_rewritten", path, anchor.source, found)
    return [
        each._replace(fits=roots.get(each.checkpoint.size) == each.checkpoint.root)
        for each in older
    ]
