"""Removes a run: its records, and when it is redacted also what only it refers to.

The events come first: the ledger has the checks of the versions that stay, and the digest of the
seal, so that it holds although the run is gone. A pack that has records of the run is written again
without them before it is removed.
"""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Final

from instrument.audit import Packed, RunDropped
from instrument.errors import HeldError, NotFoundError, UsageError
from instrument.protocols.upkeep import Drop
from instrument_local.copying import nobody
from instrument_local.files import NEW_FILE, store_errors
from instrument_local.layout import Layout, is_imported, seal_number
from instrument_local.ledger.local import LocalLedger
from instrument_local.ledger.pending import note, this_user
from instrument_local.liveness import Markers
from instrument_local.maintenance import Maintenance, maintenance
from instrument_local.packs.pack import Pack
from instrument_local.packs.shelf import ENDING
from instrument_local.packs.writing import Packable, write_pack
from instrument_local.upkeep import holds
from instrument_local.upkeep.collecting import Collector
from instrument_local.upkeep.left_versions import note_left_versions
from instrument_local.upkeep.planning import Planner, objects_in
from instrument_local.upkeep.references import References, digests_of
from instrument_local.upkeep.tombstones import dropped_runs
from instrument_local.versions import LocalVersions

DELETION: Final = "runs delete"
REDACTION: Final = "redaction"


class Deleter:
    """Deletes runs of one store.

    Args:
        layout: Where the store keeps things.
        versions: Its artifacts.
        markers: Who is recording.
    """

    def __init__(self, layout: Layout, versions: LocalVersions, markers: Markers) -> None:
        self._layout = layout
        self._markers = markers
        self._versions = versions
        self._disk = layout.files.disk

    def delete(self, run_id: str, why: str, *, redact: bool) -> RunDropped:
        """See `instrument.protocols.upkeep.Upkeep.delete_run`."""
        with store_errors(f"delete run {run_id}"), maintenance(self._layout, DELETION) as held:
            if not self._layout.has_run(run_id):
                raise NotFoundError(f"there is no run {run_id}")
            if self._markers.alive(run_id):
                raise UsageError(f"run {run_id} is still recording; end it first")
            LocalLedger(self._layout).integrate(held)  # so that no seal waits under a second name
            self._check_holds(run_id)
            drop = self._objects(run_id) if redact else None
            note_left_versions(self._layout, self._versions, run_id, why)
            event = self._note(run_id, why, REDACTION if redact else DELETION)
            if drop is not None:
                planner = Planner(self._layout, self._versions, self._markers, list)
                Collector(self._layout, planner, nobody).drop([drop], why, held)
            if redact:
                self._remove_mirrored(run_id)
                self._layout.files.sync_directory(self._layout.root / "tmp")  # written there once
            self._remove(run_id, held)  # last: until then the run is there to be deleted again
            return event

    def _check_holds(self, run_id: str) -> None:
        found = holds.holds(self._layout)
        made = (each.ref for each in self._versions.artifacts() if each.run_id == run_id)
        for subject in (run_id, *made):
            if subject in found:
                raise HeldError(f"run {run_id} stays: {holds.in_words(found[subject])}")

    def _objects(self, run_id: str) -> Drop | None:
        """The objects that only this run refers to."""
        named = References(self._layout, self._versions)
        named.refresh()
        others = {
            d for other, names in named.runs.items() if other != run_id for d in names.mentioned
        }
        own, lying = set(named.runs[run_id].mentioned), objects_in(self._layout)
        for version in named.versions:
            mine = version.run_id == run_id
            (own if mine else others).update(digests_of(version))
        digests = tuple(sorted((own - others) & lying.keys()))
        if not digests:
            return None
        return Drop(
            subject=run_id,
            type=REDACTION,
            made_at=None,
            rule=REDACTION,
            digests=digests,
            size_bytes=sum(lying[digest].size_bytes for digest in digests),
        )

    def _note(self, run_id: str, why: str, rule: str) -> RunDropped:
        seals = self._layout.run_files(run_id).seals
        begun = dropped_runs(self._layout).get(run_id)  # by a deletion that was interrupted
        digest = begun.digest if begun is not None else None
        if seals:
            digest = f"sha256:{hashlib.sha256(seals[-1].read()).hexdigest()}"
        event = RunDropped(
            at=datetime.now(UTC),
            who=this_user(),
            why=why,
            run_id=run_id,
            digest=digest,
            rule=rule,
        )
        note(self._layout, event)
        return event

    def _remove(self, run_id: str, held: Maintenance) -> None:
        """Remove the files, the seals first: without one, whatever is left is a run of its own.

        A name beside the run comes first and goes last: an index then looks at the run, however
        far this came.
        """
        directories = self._layout.run_directories(run_id)
        files = sorted((path for each in directories for path in each.iterdir()), key=_turn)
        seals = [path for path in files if seal_number(path)]
        for directory in directories:
            with suppress(OSError):  # it is there, or the disk is full
                fact = directory.with_name(f"{run_id}.{len(seals) + 1}")
                self._disk.close(self._disk.open(fact, NEW_FILE, 0o600))
        self._unlink_in_turn(seals, held)
        for pack in self._layout.packs.packs():
            if pack.groups_of(run_id):
                held.check()
                self._rewrite(pack, run_id)
        self._markers.drop_dead(run_id)
        self._unlink_in_turn(files[len(seals) :], held)
        for directory in directories:
            self._disk.rmdir(directory)
            self._unlink(directory.parent.glob(f"{run_id}.*"), held)
            self._layout.files.sync_directory(directory.parent)

    def _unlink_in_turn(self, paths: Iterable[Path], held: Maintenance) -> None:
        """Remove `paths`; what comes in a later turn is still there if the machine dies first."""
        for _, turn in groupby(paths, key=lambda path: _turn(path)[:2]):
            files = list(turn)
            self._unlink(files, held)
            for directory in {path.parent for path in files}:
                self._layout.files.sync_directory(directory)

    def _unlink(self, paths: Iterable[Path], held: Maintenance) -> None:
        for path in paths:
            held.check()
            with suppress(FileNotFoundError):
                self._disk.unlink(path)

    def _rewrite(self, pack: Pack, run_id: str) -> None:
        """Put a pack without the run in the place of `pack`."""
        contents = [
            Packable(file, file.member)
            for group in pack.table.groups
            for file in pack.files(group)
            if file.run_id != run_id
        ]
        if contents:
            written = write_pack(self._layout.files, self._layout.packs, contents)
            digest = f"sha256:{written.path.name.removesuffix(ENDING)}"
            runs = len(written.run_ids)
            note(
                self._layout,
                Packed(at=datetime.now(UTC), who=this_user(), pack=digest, runs=runs),
            )
        self._disk.unlink(pack.path)
        self._layout.files.sync_directory(pack.path.parent)

    def _remove_mirrored(self, run_id: str) -> None:
        """What mirrors left of the run under its id."""
        for path in sorted((self._layout.root / "mirrors").glob(f"*/{run_id}.*")):
            self._disk.unlink(path)
            self._layout.files.sync_directory(path.parent)


def _turn(path: Path) -> tuple[int, bool, str]:
    """The last seal first; last of all what says where the other files came from."""
    return -seal_number(path), is_imported(path.name), path.name
