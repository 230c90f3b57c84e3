"""A damaged object whose content is stored again: it is kept aside, and that is told."""

import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from instrument.audit import Repaired
from instrument.protocols import Damage
from instrument.records import Problem
from instrument_local.layout import Layout
from instrument_local.ledger.pending import note, this_user
from instrument_local.quarantine import NAME, Quarantine

_MOST_RECORDED: Final = 100
_MOST_SHOWN: Final = 5
_WHY: Final = "its content was stored again"


def set_aside(layout: Layout, path: Path, found: str | None) -> None:
    """Keep the damaged object `path` in quarantine, for the good one takes its name now.

    The ledger hears of all before, stderr and the journal of this process afterwards of the first.

    Args:
        layout: The store.
        path: The object.
        found: Its SHA-256 in hex; None: it cannot be read.

    Raises:
        StoreError: It cannot be told.
        OSError: It cannot be kept.
    """
    damage = Damage(
        kind="object_changed",
        path=layout.relative(path),
        expected=f"sha256:{path.name}",
        found=f"sha256:{found}" if found else "nothing that can be read",
    )
    note(layout, _event(damage))
    Quarantine(layout, _WHY).take(path, damage, stays=True)
    layout.set_aside += 1
    what = "was damaged" if found else "could not be read"
    kept = f"what was there is kept in {layout.root / NAME}"
    _tell(layout, f"object {damage.expected} {what}; it is stored anew, and {kept}")


def _tell(layout: Layout, message: str) -> None:
    if layout.set_aside <= _MOST_RECORDED:
        doing = "find an object whole"
        layout.notices.append(Problem(doing=doing, error="IntegrityError", message=message))
    if layout.set_aside <= _MOST_SHOWN:
        with suppress(OSError, ValueError, AttributeError):  # as `instrument.guard.say`
            sys.stderr.write(f"instrument: {message}\n")


def _event(damage: Damage) -> Repaired:
    return Repaired(
        at=datetime.now(UTC),
        who=this_user(),
        why=_WHY,
        path=damage.path,
        kind=damage.kind,
        action="quarantined",
    )
