"""Events on their way into the ledger: one file each, made without a lock.

ledger/pending/<run id>~run.json    the seal of a run: a second name of the same file
ledger/pending/<time>~<hex>.json    stamped: any other event
"""

import os
import pwd
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from instrument.audit import Event, Who
from instrument_local.files import store_errors
from instrument_local.layout import Layout
from instrument_local.stamps import stamp

DIRECTORY: Final = "ledger/pending"


def note(layout: Layout, event: Event) -> None:
    """Keep `event` for the ledger; on return it survives the death of the machine.

    To be called after the deed is done where the deed can be done again (an import), and before it
    where it cannot be undone (a deletion). Takes no lock.

    Raises:
        StoreError: It cannot be written.
    """
    with store_errors(f"note the event {event.__struct_config__.tag}"):
        layout.create()
        directory = layout.root / DIRECTORY
        layout.files.make_durable_directory(directory)
        name = f"{event.at:%Y%m%dT%H%M%S.%fZ}~{secrets.token_hex(8)}.json"
        layout.files.publish(directory / name, stamp(msgspec.json.encode(event)))


def note_seal(layout: Layout, seal: Path) -> None:
    """Put the seal `seal` of a run on the list: one more name for the file, and nothing is synced.

    Where that fails nothing is lost: a seal that is in neither list nor ledger is found later.
    """
    directory = layout.root / DIRECTORY
    with suppress(OSError):
        layout.files.make_directory(directory)
        layout.files.disk.link(seal, directory / f"{seal.parent.name}~{seal.name}")


def this_user() -> Who:
    """Whom the operating system takes us for."""
    uid = os.getuid()
    return Who(user=login_of(uid), uid=uid, host=os.uname().nodename)


def login_of(uid: int) -> str | None:
    """The login name of user `uid`; None when this host does not know it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
