"""Events on their way into the ledger: one file each, made without a lock.

    ledger/pending/<run id>~run.json    the seal of a run: a second name of the same file
    ledger/pending/<time>~<hex>.json    stamped: any other event

The entry of an event is the line in its file, byte for byte. That of a seal names it by digest.
"""

import hashlib
import os
import pwd
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from instrument.audit import Event, RunSealed, VersionsMade, Who, decode_event
from instrument.errors import IntegrityError
from instrument_local.files import read_file, store_errors
from instrument_local.layout import Layout, seal_number
from instrument_local.ledger.queue import PENDING
from instrument_local.stamps import stamp, unstamp

MOVE_PREFIX: Final = b'{"event":"alias_moved"'
"""How the line of a moved alias begins."""
_MOST_VERSIONS: Final = 1000
_EVENT: Final = re.compile(r"[^~]+~[^~]+\.json")


class _SealHead(msgspec.Struct):
    """What a seal says that its entry repeats."""

    run: "_RunHead"


class _RunHead(msgspec.Struct):
    host: str | None = None


class Waiting(NamedTuple):
    """An event that waits.

    Attributes:
        at: When it happened.
        path: Its file.
        line: Its entry in the ledger, without a newline.
    """

    at: datetime
    path: Path
    line: bytes


def note(layout: Layout, event: Event) -> Path:
    """Keep `event` for the ledger; on return it survives the death of the machine.

    To be called after the deed where the deed can be done again (an import), and before it where it
    cannot be undone (a deletion). Takes no lock.

    Returns:
        Its file, until it is taken in.

    Raises:
        StoreError: It cannot be written.
    """
    with store_errors(f"note the event {event.__struct_config__.tag}"):
        layout.create()
        directory = layout.root / PENDING
        layout.files.make_durable_directory(directory)
        name = f"{event.at:%Y%m%dT%H%M%S.%fZ}~{secrets.token_hex(8)}.json"
        layout.files.publish(directory / name, stamp(msgspec.json.encode(event)))
        return directory / name


def note_versions(
    layout: Layout, checks: Mapping[str, str], why: str | None = None, *, late: bool = False
) -> None:
    """Note that versions were made: `checks` has the check of each by its reference.

    Raises:
        StoreError: It cannot be written.
    """
    refs = sorted(checks)
    for start in range(0, len(refs), _MOST_VERSIONS):
        event = VersionsMade(
            at=datetime.now(UTC),
            who=this_user(),
            why=why,
            versions={ref: checks[ref] for ref in refs[start : start + _MOST_VERSIONS]},
            late=late,
        )
        note(layout, event)


def this_user() -> Who:
    """Whom the operating system takes us for."""
    uid = os.getuid()
    return Who(user=_login_of(uid), uid=uid, host=os.uname().nodename)


def paths(layout: Layout) -> list[Path]:
    """The files of all events that wait; what is not called like one is passed over."""
    directory = layout.root / PENDING
    try:
        names = os.listdir(directory)  # noqa: PTH208 - names are enough
    except FileNotFoundError:
        return []
    return sorted(directory / name for name in names if _EVENT.fullmatch(name))


def identity(path: Path) -> str | bytes | None:
    """What an event is known by: a seal by its name here, others by every byte of their entry.

    None when it is damaged.
    """
    if _is_seal(path):
        return path.name
    with suppress(IntegrityError, FileNotFoundError):
        return read(path).line
    return None


def waiting(found: Iterable[Path]) -> Iterator[Waiting]:
    """The events in the files `found`; the damaged ones are left to `verify`."""
    for path in found:
        with suppress(IntegrityError, FileNotFoundError):
            yield read(path)


def read(path: Path) -> Waiting:
    """The event in the file `path`.

    Raises:
        IntegrityError: It is damaged, or no event.
        OSError: It cannot be read.
    """
    data = read_file(path)
    run_id, _, seal = path.name.partition("~")
    try:
        if _is_seal(path):
            event: Event = _sealed(run_id, seal, data, path.lstat())
            return Waiting(event.at, path, stamp(msgspec.json.encode(event)).rstrip(b"\n"))
        event = decode_event(unstamp(data))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, IntegrityError) as error:
        raise IntegrityError(f"{path} is damaged: {error}") from error
    return Waiting(event.at, path, data.rstrip(b"\n"))


def _is_seal(path: Path) -> bool:
    return seal_number(path.with_name(path.name.partition("~")[2])) > 0


def _sealed(run_id: str, name: str, data: bytes, status: os.stat_result) -> RunSealed:
    """The entry of a seal. Who made it, and when, is what the file system says of its file."""
    seal = msgspec.json.decode(unstamp(data), type=_SealHead)
    return RunSealed(
        at=datetime.fromtimestamp(status.st_mtime, UTC),
        who=Who(user=_login_of(status.st_uid), uid=status.st_uid, host=seal.run.host or "unknown"),
        run_id=run_id,
        seal=name,
        digest=f"sha256:{hashlib.sha256(data).hexdigest()}",
    )


def _login_of(uid: int) -> str | None:
    """The login name of user `uid`; None when this host does not know it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
