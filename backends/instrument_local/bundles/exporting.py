"""``instrument export``: some runs, and what they refer to, in a new file."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from instrument.audit import Exported
from instrument.errors import NotFoundError, StoreError, UsageError
from instrument.protocols import Clock
from instrument.protocols.bundles import Export
from instrument_local.bundles.selecting import Selection
from instrument_local.bundles.unfinished import remove_left, unfinished
from instrument_local.bundles.writing import Head, Source, Writer
from instrument_local.copying import Told
from instrument_local.files import store_errors
from instrument_local.layout import Layout
from instrument_local.ledger.local import LocalLedger
from instrument_local.ledger.pending import note, this_user


def export(  # noqa: PLR0913 - what it is made of
    layout: Layout,
    clock: Clock,
    selection: Selection,
    target: Path,
    why: str | None,
    told: Told,
) -> Export:
    """Write `selection` to the new file `target`; see `instrument.protocols.bundles.Bundles`."""
    if os.path.lexists(target):
        raise UsageError(f"{target} is there already; name another file")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is no directory; make it first")
    with store_errors(f"write {target}"):
        if layout.lacks_format():
            layout.create()  # a bundle names the store
    if layout.format is None:
        raise NotFoundError(f"there is no store at {layout.root}")
    head = Head(
        layout.format.store_id,
        clock.now(),
        this_user(),
        selection.runs,
        tuple(selection.left_out),
    )
    sources = selection.sources(_proofs(layout, selection.runs))
    disk = layout.files.disk
    remove_left(disk, target)
    with store_errors(f"write {target}"), unfinished(layout.files, target) as (fd, temporary):
        try:
            digest = _written(Writer(disk, fd, told), head, sources)
            size_bytes = os.fstat(fd).st_size
            layout.files.sync(fd)
        finally:
            disk.close(fd)
        # First, so that no bundle leaves the store unseen.
        note(
            layout,
            Exported(at=head.at, who=head.who, why=why, bundle=digest, runs=selection.runs),
        )
        if not layout.files.place(temporary, target):
            raise UsageError(f"{target} was made meanwhile; name another file")
    return Export(
        path=str(target),
        digest=digest,
        size_bytes=size_bytes,
        runs=selection.runs,
        artifacts=tuple(sorted(selection.versions)),
        objects=selection.objects,
        left_out=dict(Counter(each.reason for each in selection.left_out)),
    )


def _written(writer: Writer, head: Head, sources: Iterable[Source]) -> str:
    """Write everything; the digest of the bundle."""
    try:
        return writer.write(head, sources)
    except FileNotFoundError as error:
        raise StoreError(f"{error.filename} went from the store meanwhile; export again") from error


def _proofs(layout: Layout, run_ids: Sequence[str]) -> dict[str, bytes]:
    """The proofs of the runs; none where the ledger could not be written, and does not know one."""
    try:
        return LocalLedger(layout).proofs_of(run_ids)
    except NotFoundError:
        return {}
