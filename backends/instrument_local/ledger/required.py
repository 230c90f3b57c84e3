"""What a run insists on whose audit is required: the ledger knows of its beginning and its end.

Each event is on the list, durable, before anything goes on. It is taken in at once, too, unless
another process maintains the store just now: then that one, or who looks next, takes it in.
"""

from contextlib import suppress
from datetime import UTC, datetime

from instrument.audit import RunBegan
from instrument.errors import NotFoundError
from instrument_local.files import store_errors
from instrument_local.layout import Layout
from instrument_local.ledger.integrate import integrate, known_to
from instrument_local.ledger.log import Log
from instrument_local.ledger.pending import note, this_user
from instrument_local.ledger.queue import PENDING, seal_entry
from instrument_local.maintenance import LockedError, maintenance


def enter_beginning(layout: Layout, run_id: str, attempt: int) -> None:
    """See `instrument.protocols.ledger.Auditing`."""
    event = RunBegan(at=datetime.now(UTC), who=this_user(), run_id=run_id, attempt=attempt)
    note(layout, event)
    _take_in(layout)


def enter_seal(layout: Layout, run_id: str) -> None:
    """See `instrument.protocols.ledger.Auditing`."""
    with store_errors(f"tell the ledger that run {run_id} is closed"):
        seals = layout.run_files(run_id).seals
        if not seals:
            raise NotFoundError(f"run {run_id} has no seal")
        name = seal_entry(run_id, seals[-1].name)
        waiting = layout.root / PENDING / name
        if waiting.exists():
            layout.files.sync_directory(waiting.parent)
        elif name not in known_to(Log(layout)):
            layout.files.make_durable_directory(waiting.parent)
            layout.files.publish(waiting, seals[-1].read())
    _take_in(layout)


def _take_in(layout: Layout) -> None:
    with suppress(LockedError), maintenance(layout, "ledger") as held:
        integrate(layout, held)
