"""Records that wait on a local disk because the store hung until their process ended."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from instrument.errors import InstrumentError, StoreError
from instrument_local.files import NEW_FILE, Disk, is_regular, read_file
from instrument_local.layout import Layout
from instrument_local.liveness import Markers
from instrument_local.repair.plan import Plan
from instrument_local.spool import spool_directories


class Spools:
    """The spools of processes that have ended.

    Args:
        layout: The store that they are for.
        named: Further places to look, given by the user: what lies there is for this store.
    """

    def __init__(self, layout: Layout, named: Sequence[Path]) -> None:
        self._layout = layout
        self._named = [path.absolute() for path in named]

    def waiting(self) -> Iterator[Plan]:
        """Spools of runs that this store has, and those that the user names."""
        for directory in (*self._named, *spool_directories()):
            with suppress(InstrumentError, OSError):
                yield from self._plans(directory)

    def found(self) -> list[dict[str, Any]]:
        """All spools of this host: ``path``, ``run_id``, and whether the run is of this store."""
        found = []
        for directory in spool_directories():
            with suppress(InstrumentError, OSError):
                found += [
                    {
                        "path": str(directory),
                        "run_id": run_id,
                        "is_known": self._layout.has_run(run_id),
                    }
                    for run_id, _ in self._ended(directory)
                ]
        return found

    def _plans(self, directory: Path) -> Iterator[Plan]:
        for run_id, journals in self._ended(directory):
            if directory in self._named or self._layout.has_run(run_id):
                do = partial(self._adopt, run_id, journals, directory)
                path = self._layout.run_path(run_id)
                yield Plan(path, "spooled", "adopted", f"from {directory}", do)

    def _ended(self, directory: Path) -> Iterator[tuple[str, list[Path]]]:
        """The runs in the spool `directory` that nobody records any more, with their journals."""
        spool = Layout(directory, self._layout.clock, Disk())
        if spool.format is None or spool.format == self._layout.format:
            return
        alive = Markers(spool).alive_run_ids()
        for run_id in sorted(spool.loose_run_ids() - alive):
            journals = [
                path
                for place in spool.run_directories(run_id)
                for path in sorted(place.glob("*-spool*.jsonl"))
                if is_regular(path)
            ]
            if journals:
                yield run_id, journals

    def _adopt(self, run_id: str, journals: list[Path], directory: Path) -> None:
        """Bring the journals, byte for byte; then the spool goes."""
        files = self._layout.files
        target = self._layout.run_directory_to_write(run_id)
        files.make_durable_directory(target)
        for journal in journals:
            data = read_file(journal)
            there = target / journal.name
            if not files.publish(there, data) and read_file(there) != data:
                raise StoreError(f"{there} is there with other content")
        self._announce(run_id, target)
        shutil.rmtree(directory, ignore_errors=True)

    def _announce(self, run_id: str, directory: Path) -> None:
        """Tell the index that a run that was sealed has more."""
        seals = len(self._layout.run_files(run_id).seals)
        if seals:
            fact = directory.with_name(f"{directory.name}.{seals}")
            with suppress(FileExistsError):
                disk = self._layout.files.disk
                disk.close(disk.open(fact, NEW_FILE, 0o600))
