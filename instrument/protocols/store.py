"""What a store promises: records, objects, versions, and answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol, runtime_checkable

import msgspec

from instrument.naming import Reference
from instrument.records import Entry, ProcessStarted, Record
from instrument.summary import RunSummary
from instrument.vocabulary import ArtifactVersion, File

if TYPE_CHECKING:
    from instrument.query import Condition


class Clock(Protocol):
    """The time, for everyone who needs it."""

    def now(self) -> datetime:
        """The wall clock, UTC, aware."""

    def monotonic_seconds(self) -> float:
        """A clock that only runs forward; differences are durations."""


class Recorder(Protocol):
    """What capture, telemetry and interceptors are handed: they know no run and no store."""

    def record(self, record: Record) -> None:
        """Take `record` for the run. Never raises unless the run is strict."""

    def problem(self, doing: str, error: BaseException) -> None:
        """Count, record and show that `doing` failed. Never raises unless the run is strict."""


class Records(Protocol):
    """Where the records of one process go, in order. One writer; any thread may call."""

    def take(self, record: Record, at: datetime) -> None:
        """Take one record.

        When it returns the record survives the death of this process (not yet of the machine).
        It never blocks on a network and never raises for want of space: what cannot be written
        is counted and told by a `RecordsLost` record as soon as writing works again.
        """

    def flush(self) -> None:
        """Make all records taken so far survive the death of the machine. Idempotent."""

    def close(self) -> None:
        """Flush, and take no more. Idempotent; records taken afterwards count as lost."""

    @property
    def lost(self) -> int:
        """How many records could not be written."""

    @property
    def reason(self) -> str:
        """Why the last of them could not; empty when all were."""

    @property
    def spool(self) -> str | None:
        """Where records wait while the store does not answer; None where none does."""


class Objects(Protocol):
    """Bytes named by their SHA-256. Immutable, stored once, verified when read."""

    def put_bytes(self, data: bytes) -> str:
        """Store `data` and return its digest. Idempotent, atomic, durable on return.

        Raises:
            StoreError: It could not be stored; nothing is left behind.
        """

    def put_file(self, path: Path) -> File:
        """Store the bytes of the regular file `path`; the file's `path` is its name.

        Idempotent, atomic, durable on return. The digest is of the bytes that were stored, even
        when somebody writes to `path` meanwhile. Memory stays bounded at any size.

        Raises:
            NotFoundError: `path` is no regular file.
            StoreError: It could not be stored; nothing is left behind.
        """

    def put_files(
        self, paths: Sequence[str | Path], told: Callable[[int], None] | None = None
    ) -> list[File]:
        """Store the bytes of regular files; the result has their order.

        All are durable on return; on an error none is referenced, and those that were stored stay
        as objects. Faster than one `put_file` after another. Each object is one state of its file:
        a file that changes while it is read is read again.

        Args:
            paths: The files.
            told: Called from any thread with the number of bytes done since the last call.

        Raises:
            NotFoundError: One is no regular file; nothing was stored.
            StoreError: One could not be read or stored, or never held still.
        """

    def identify(self, path: Path) -> File:
        """The digest and size of the regular file `path`, without storing it.

        What is known of an unchanged file is not hashed again.

        Raises:
            NotFoundError: There is no such file, or it is no regular file.
            StoreError: It cannot be read.
        """

    def get_bytes(self, digest: str) -> bytes:
        """The bytes named `digest`, verified.

        Raises:
            NotFoundError: There is no such object.
            IntegrityError: The stored bytes do not match `digest`.
        """

    def open(self, digest: str) -> BinaryIO:
        """The object as a stream for reading, verified before it is handed out.

        Raises:
            NotFoundError: There is no such object.
            IntegrityError: The stored bytes do not match `digest`.
        """

    def contains(self, digest: str) -> bool:
        """Whether the object is there (its bytes are not checked)."""

    def path_of(self, digest: str) -> Path | None:
        """Where the bytes lie as a plain file that must not be written to; None if they do not."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact that wants a version. Fields as in `ArtifactVersion`."""

    name: str
    type: str
    digest: str
    size_bytes: int
    files: tuple[File, ...]
    is_tree: bool
    format: str | None
    run_id: str | None
    created_at: datetime
    parents: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    origin: str | None = None


class Versions(Protocol):
    """Names for content. A version, once there, never changes and never goes."""

    def claim(self, draft: Draft, why: str | None = None) -> ArtifactVersion:
        """The version of `draft`'s name that holds its content, made if there is none.

        Versions count 1, 2, 3 … without a gap, across all processes and hosts at once. Content
        that the name already has (same digest) keeps its version, and ``latest`` moves there.
        One that is made without a run is told to the ledger, with `why`.

        Raises:
            UsageError: The name or type is not usable, or metadata has no JSON form.
            NotFoundError: A parent does not exist.
            StoreError: It could not be stored.
        """

    def resolve(self, reference: Reference) -> ArtifactVersion:
        """The version that `reference` means now.

        Raises:
            NotFoundError: There is no such name, version or alias; the message lists what is there.
        """

    def tag(
        self, reference: Reference, alias: str, at: datetime, why: str | None = None
    ) -> ArtifactVersion:
        """Point `alias` (``latest`` included: a rollback) at the version `reference` means.

        A new fact; earlier ones stay. `why` goes into the ledger. Raises as `resolve`, and
        UsageError for a bad alias, or for a semantic version (``v1.2.0``) that stands elsewhere:
        those never move.
        """

    def artifacts(self, name: str | None = None) -> Iterator[ArtifactVersion]:
        """All versions of `name`, or of every name, by name and version."""


class Catalogue(Protocol):
    """Questions about runs."""

    def runs(self, where: "Condition | None" = None, limit: int | None = None) -> list[RunSummary]:
        """Runs that meet `where`, newest first."""

    def run(self, selector: str) -> RunSummary:
        """The run whose id is or starts with `selector`, or the newest one for ``latest``.

        Raises:
            NotFoundError: No run, or several (the message lists some).
        """

    def entries(self, run_id: str) -> Iterator[Entry]:
        """All entries of a run; each journal in order, journals one after another."""


@runtime_checkable
class Store(Objects, Versions, Catalogue, Protocol):
    """A backend that keeps everything."""

    @property
    def location(self) -> str:
        """Where it is, for people."""

    def begin(self, process: ProcessStarted) -> Records:
        """Open this process's journal for a run and take `process` as its first record.

        Never raises for want of space or permission: such records count as lost.
        """

    def is_open(self, run_id: str) -> bool:
        """Whether a living process has a journal of the run open."""

    def seal(self, run_id: str) -> RunSummary:
        """Write the summary of a finished run and drop its open marker. Idempotent.

        Raises:
            StoreError: It could not be written; readers then derive the summary from the journals.
        """

    def verify(
        self, selector: str | None = None, told: Callable[[int], None] | None = None
    ) -> "Verification":
        """Check every byte against its digest and every journal against its chain.

        Args:
            selector: A run or an artifact reference; None for everything.
            told: Called with the number of bytes that were read, again and again, from any thread.
        """

    def info(self) -> Mapping[str, Any]:
        """Facts for `instrument doctor`: format, counts, sizes, file system."""


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that `verify` found.

    Attributes:
        kind: Such as ``object_changed``, ``chain_broken``, ``torn_tail``, ``object_missing``.
        path: The file, relative to the store.
        expected: What should be there.
        found: What is there.
        severity: ``damage``, or ``note`` for what a crash leaves behind and loses nothing.
    """

    kind: str
    path: str
    expected: str | None
    found: str | None
    severity: Literal["damage", "note"] = "damage"


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """Result of `Store.verify`.

    Attributes:
        ok: True when nothing of severity ``damage`` was found.
        runs: Number of runs checked.
        objects: Number of objects checked.
        size_bytes: Bytes read and hashed.
        problems: What was found.
    """

    ok: bool
    runs: int
    objects: int
    size_bytes: int
    problems: tuple[Damage, ...]
