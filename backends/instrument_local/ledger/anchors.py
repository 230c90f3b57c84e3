"""The last checkpoint that this user saw of a store, kept in the user's home, not in the store.

Trust on first use: the first is believed, and every later ledger must contain it.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path

import msgspec

from instrument.errors import IntegrityError, UsageError
from instrument_local.files import read_file
from instrument_local.ledger.notes import Checkpoint, parse_line, parse_note


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
