"""Where an imported run came from, and what its references mean here.

The files of an imported run are what they were, byte for byte. Beside them lies
``imported.<hex>.json``, which says which store recorded them, under which id, and which names they
use for what has another name here. Whoever reads a run reads through this.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from instrument.errors import IntegrityError
from instrument.records import (
    ArtifactLogged,
    ArtifactUsed,
    CheckpointSaved,
    Entry,
    ProcessStarted,
    Record,
    RunStarted,
)
from instrument.summary import RunSummary
from instrument_local.run_files import RunFile
from instrument_local.stamps import unstamp


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """Content of ``imported.<hex>.json``.

    Attributes:
        origin: Id of the store that recorded the files.
        run_id: The run's id there.
        bundle: Digest of the bundle that brought them.
        files: Names of the files, which lie beside this one.
        names: What references and run ids in them are called here, where that differs.
    """

    origin: str
    run_id: str
    bundle: str
    files: tuple[str, ...]
    names: dict[str, str] = {}

    def record(self, record: Record) -> Record:
        """`record` with the names of here; the check of a version is of the file there."""
        match record:
            case ArtifactLogged(ref=ref, parents=parents):
                here = tuple(map(self.name, parents))
                return msgspec.structs.replace(record, ref=self.name(ref), parents=here, check=None)
            case ArtifactUsed(ref=ref) | CheckpointSaved(ref=ref):
                return msgspec.structs.replace(record, ref=self.name(ref))
            case ProcessStarted(run_id=run_id):
                return msgspec.structs.replace(record, run_id=self.name(run_id))
            case RunStarted(parent_run_id=str() as parent):
                return msgspec.structs.replace(record, parent_run_id=self.name(parent))
        return record

    def summary(self, summary: RunSummary) -> RunSummary:
        """`summary` with the names of here."""
        parent = summary.parent_run_id
        return msgspec.structs.replace(
            summary,
            id=self.name(summary.id),
            inputs=list(map(self.name, summary.inputs)),
            outputs=list(map(self.name, summary.outputs)),
            logged_again={
                self.name(ref): list(map(self.name, parents))
                for ref, parents in summary.logged_again.items()
            },
            parent_run_id=self.name(parent) if parent is not None else None,
        )

    def name(self, name: str) -> str:
        """What `name` is called here."""
        return self.names.get(name, name)


class Origins:
    """The origins of one run's files.

    Args:
        facts: The files ``imported.<hex>.json`` of the run.

    Raises:
        IntegrityError: One of them is damaged.
        OSError: It cannot be read.
    """

    def __init__(self, facts: Iterable[RunFile]) -> None:
        self._by_file: Mapping[str, Imported] = {
            name: fact for file in facts for fact in (load_imported(file),) for name in fact.files
        }

    def of(self, file: RunFile) -> Imported | None:
        """Where `file` came from; None for one that was recorded here."""
        return self._by_file.get(file.name)

    def run_id(self, file: RunFile, run_id: str) -> str:
        """The run's id in the store that recorded `file`; `run_id` is the one here."""
        origin = self.of(file)
        return origin.run_id if origin is not None else run_id

    def entries(self, file: RunFile, entries: Iterator[Entry]) -> Iterator[Entry]:
        """The entries of the journal `file` with the names of here."""
        origin = self.of(file)
        if origin is None:
            return entries
        return (
            msgspec.structs.replace(entry, record=origin.record(entry.record)) for entry in entries
        )


def load_imported(file: RunFile) -> Imported:
    """What `file` says.

    Raises:
        IntegrityError: It is damaged.
        OSError: It cannot be read.
    """
    return decode_imported(file.read(), str(file.path))


def decode_imported(data: bytes, what: str) -> Imported:
    """What the file `what`, with the content `data`, says. Raises as `load_imported`."""
    try:
        return msgspec.json.decode(unstamp(data), type=Imported)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, IntegrityError) as error:
        raise IntegrityError(f"{what} is damaged: {error}") from error
