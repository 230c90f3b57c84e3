"""Where damaged files go: ``quarantine/<time>-<hex>/``, under the path they had in the store.

Beside each stands ``<name>.why.json``, a stamped object that says what was wrong. What lies here is
for people to look at; nothing reads it but a later repair, in search of bytes that are lost.
"""

import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from instrument.audit import Who
from instrument.errors import StoreError
from instrument.protocols import Damage
from instrument_local.files import is_regular
from instrument_local.layout import Layout
from instrument_local.ledger.pending import this_user
from instrument_local.stamps import stamp

NAME = "quarantine"


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Content of ``<name>.why.json``.

    Attributes:
        path: Where the file lay, relative to the store.
        kind: What was wrong with it, as `verify` names it.
        expected: What should have been there.
        found: What was there.
        at: When it was moved, UTC.
        who: Who moved it.
        why: The reason that was given, or None.
    """

    path: str
    kind: str
    expected: str | None
    found: str | None
    at: datetime
    who: Who
    why: str | None


class Quarantine:
    """The place for what is set aside at one time; made with the first file.

    Args:
        layout: The store.
        why: The reason, as it was given for the repair.
    """

    def __init__(self, layout: Layout, why: str | None) -> None:
        self._layout = layout
        self._why = why
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        self._directory = layout.root / NAME / name

    def take(self, path: Path, damage: Damage, *, stays: bool = False) -> None:
        """Move `path` here. At every moment it has at least one of its two names.

        With `stays` it keeps both, where there are hard links, until it is replaced.
        """
        files = self._layout.files
        target = self._directory / damage.path
        files.make_durable_directory(target.parent)
        files.publish(target.with_name(f"{target.name}.why.json"), self._reason(damage))
        if is_regular(path) or (stays and path.is_symlink()):
            files.place(path, target)
            with suppress(FileNotFoundError):  # without hard links it was renamed
                if not stays:
                    files.disk.unlink(path)
        else:  # a symbolic link, or what else somebody put here
            files.disk.rename(path, target)
            files.sync_directory(target.parent)
        files.sync_directory(path.parent)

    def put_back(self, path: Path, data: bytes, damage: Damage) -> None:
        """Let `path` hold `data`; a damaged file is set aside meanwhile: its name is never free.

        Raises:
            StoreError: Something else than a file is there.
            OSError: It cannot be written.
        """
        files = self._layout.files
        files.make_durable_directory(path.parent)
        if is_regular(path) or path.is_symlink():
            self.take(path, damage, stays=True)
            whole = self._layout.root / "tmp" / secrets.token_hex(8)
            with files.discarding(whole):
                files.publish(whole, data)
                files.disk.rename(whole, path)
            files.sync_directory(path.parent)
        elif not files.publish(path, data):
            raise StoreError(f"{path} is not to be replaced; move it away and repair again")

    def _reason(self, damage: Damage) -> bytes:
        reason = Why(
            path=damage.path,
            kind=damage.kind,
            expected=damage.expected,
            found=damage.found,
            at=datetime.now(UTC),
            who=this_user(),
            why=self._why,
        )
        return stamp(msgspec.json.encode(reason))
