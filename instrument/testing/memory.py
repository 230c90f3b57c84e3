"""A store in memory: the behaviour every store has, with nothing that can fail.

Tests run against it, and the model-based tests hold the local store against it.
"""

import hashlib
import io
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from instrument.errors import IntegrityError, NotFoundError, StoreError
from instrument.naming import (
    LATEST,
    Reference,
    check_alias,
    check_artifact_name,
    check_move,
    parse_reference,
)
from instrument.protocols import Damage, Draft, Verification
from instrument.query import Condition, matches
from instrument.records import Entry, ProcessStarted, Record
from instrument.summary import RunSummary, summarise
from instrument.vocabulary import ArtifactVersion, File

_READ_TRIES = 3


class MemoryRecords:
    """One journal, as a list."""

    spool = None
    reason = ""

    def __init__(self, writer: str) -> None:
        self.writer = writer
        self.entries: list[Entry] = []
        self.closed = False
        self.lost = 0
        self._lock = threading.Lock()

    def take(self, record: Record, at: datetime) -> None:
        """See `instrument.protocols.Records`."""
        with self._lock:
            if self.closed:
                self.lost += 1
                return
            seq = len(self.entries)
            self.entries.append(Entry(writer=self.writer, seq=seq, at=at, record=record))

    def flush(self) -> None:
        """Nothing to do: memory does not survive the process."""

    def close(self) -> None:
        """Take no more."""
        self.closed = True


class MemoryBackend:
    """A store (see `instrument.protocols.Store`) that lives and dies with the process."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._versions: dict[str, list[ArtifactVersion]] = {}
        self._aliases: dict[str, dict[str, int]] = {}
        self._journals: dict[str, list[MemoryRecords]] = {}
        self._lock = threading.RLock()

    @property
    def location(self) -> str:
        """Where it is, for people."""
        return "memory"

    def put_bytes(self, data: bytes) -> str:
        """See `instrument.protocols.Objects`."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self._objects.setdefault(digest, bytes(data))
        return digest

    def put_file(self, path: Path) -> File:
        """See `instrument.protocols.Objects`."""
        if not path.is_file():
            raise NotFoundError(f"{path} is no regular file")
        data = path.read_bytes()
        return File(path=path.name, digest=self.put_bytes(data), size_bytes=len(data))

    def put_files(
        self, paths: Sequence[str | Path], told: Callable[[int], None] | None = None
    ) -> list[File]:
        """See `instrument.protocols.Objects`."""
        if missing := [path for path in paths if not Path(path).is_file()]:
            raise NotFoundError(f"{missing[0]} is no regular file")
        files = []
        for path in paths:
            file = self._put_steady(Path(path))
            files.append(file)
            if told is not None:
                told(file.size_bytes)
        return files

    def _put_steady(self, path: Path) -> File:
        for _ in range(_READ_TRIES):
            before = path.stat()
            file = self.put_file(path)
            after = path.stat()
            if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                return file
        raise StoreError(f"{path} changed while it was read, {_READ_TRIES} times")

    def identify(self, path: Path) -> File:
        """See `instrument.protocols.Objects`."""
        if not path.is_file():
            raise NotFoundError(f"{path} is no regular file")
        data = path.read_bytes()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        return File(path=path.name, digest=digest, size_bytes=len(data))

    def get_bytes(self, digest: str) -> bytes:
        """See `instrument.protocols.Objects`."""
        if digest not in self._objects:
            raise NotFoundError(f"there is no object {digest}")
        data = self._objects[digest]
        found = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if found != digest:
            raise IntegrityError(f"object {digest} has changed: found {found}")
        return data

    def open(self, digest: str) -> BinaryIO:
        """See `instrument.protocols.Objects`."""
        return io.BytesIO(self.get_bytes(digest))

    def contains(self, digest: str) -> bool:
        """See `instrument.protocols.Objects`."""
        return digest in self._objects

    def path_of(self, digest: str) -> Path | None:  # noqa: ARG002 - the protocol's signature
        """None: nothing here is a file."""
        return None

    def claim(self, draft: Draft, why: str | None = None) -> ArtifactVersion:  # noqa: ARG002 - no ledger
        """See `instrument.protocols.Versions`."""
        check_artifact_name(draft.name)
        with self._lock:
            for parent in draft.parents:
                self.resolve(parse_reference(parent))
            versions = self._versions.setdefault(draft.name, [])
            same = next((v for v in versions if v.digest == draft.digest), None)
            if same is None:
                fields = msgspec.structs.asdict(draft)
                same = ArtifactVersion(version=len(versions) + 1, **fields)
                versions.append(same)
            self._aliases.setdefault(draft.name, {})[LATEST] = same.version or 0
            return self._with_aliases(same)

    def resolve(self, reference: Reference) -> ArtifactVersion:
        """See `instrument.protocols.Versions`."""
        versions = self._versions.get(reference.name, [])
        if not versions:
            raise NotFoundError(f"there is no artifact {reference.name!r}")
        number = reference.version
        if reference.alias is not None:
            number = self._aliases[reference.name].get(reference.alias)
        if number is None or not 1 <= number <= len(versions):
            raise NotFoundError(
                f"there is no {reference}; {reference.name} has v1 to v{len(versions)} and the "
                f"aliases {', '.join(sorted(self._aliases[reference.name]))}"
            )
        return self._with_aliases(versions[number - 1])

    def tag(
        self,
        reference: Reference,
        alias: str,
        at: datetime,  # noqa: ARG002 - it is not asked for
        why: str | None = None,  # noqa: ARG002 - there is no ledger
    ) -> ArtifactVersion:
        """See `instrument.protocols.Versions`."""
        with self._lock:
            version = self.resolve(reference)
            number, aliases = version.version or 0, self._aliases[reference.name]
            check_move(reference.name, check_alias(alias), aliases.get(alias), number)
            aliases[alias] = number
            return self._with_aliases(version)

    def artifacts(self, name: str | None = None) -> Iterator[ArtifactVersion]:
        """See `instrument.protocols.Versions`."""
        for known in sorted(self._versions) if name is None else [name]:
            for version in list(self._versions.get(known, [])):
                yield self._with_aliases(version)

    def begin(self, process: ProcessStarted) -> MemoryRecords:
        """See `instrument.protocols.Store`."""
        with self._lock:
            journals = self._journals.setdefault(process.run_id, [])
            writer = f"{process.attempt}-{process.rank}-{process.host}-{process.pid}"
            taken = sum(journal.writer.startswith(writer) for journal in journals)
            journal = MemoryRecords(f"{writer}-{taken}" if taken else writer)
            journals.append(journal)
        journal.take(process, datetime.now(UTC))
        return journal

    def is_open(self, run_id: str) -> bool:
        """See `instrument.protocols.Store`."""
        return any(not journal.closed for journal in self._journals.get(run_id, ()))

    def seal(self, run_id: str) -> RunSummary:
        """See `instrument.protocols.Store`."""
        return self.run(run_id)

    def runs(self, where: Condition | None = None, limit: int | None = None) -> list[RunSummary]:
        """See `instrument.protocols.Catalogue`."""
        found = [self._summary(run_id) for run_id in list(self._journals)]
        found = [run for run in found if where is None or matches(where, run)]
        oldest = datetime.min.replace(tzinfo=UTC)
        found.sort(key=lambda run: (run.started_at or oldest, run.id), reverse=True)
        return found[:limit]

    def run(self, selector: str) -> RunSummary:
        """See `instrument.protocols.Catalogue`."""
        if selector == LATEST:
            newest = self.runs(limit=1)
            if not newest:
                raise NotFoundError("there is no run yet")
            return newest[0]
        ids = [run_id for run_id in self._journals if run_id.startswith(selector)]
        if selector in ids:
            ids = [selector]
        if len(ids) != 1:
            what = f"{len(ids)} runs start" if ids else "no run starts"
            raise NotFoundError(f"{what} with {selector!r}: {', '.join(sorted(ids)[:5])}")
        return self._summary(ids[0])

    def entries(self, run_id: str) -> Iterator[Entry]:
        """See `instrument.protocols.Catalogue`."""
        if run_id not in self._journals:
            raise NotFoundError(f"there is no run {run_id!r}")
        for journal in sorted(self._journals[run_id], key=lambda journal: journal.writer):
            yield from list(journal.entries)

    def verify(
        self,
        selector: str | None = None,  # noqa: ARG002 - all, always
        told: Callable[[int], None] | None = None,  # noqa: ARG002 - it takes no time
    ) -> Verification:
        """See `instrument.protocols.Store`."""
        problems = []
        for digest in list(self._objects):
            try:
                self.get_bytes(digest)
            except IntegrityError as error:
                found = str(error)
                problems.append(
                    Damage(kind="object_changed", path=digest, expected=digest, found=found)
                )
        return Verification(
            ok=not problems,
            runs=len(self._journals),
            objects=len(self._objects),
            size_bytes=sum(map(len, self._objects.values())),
            problems=tuple(problems),
        )

    def info(self) -> Mapping[str, Any]:
        """See `instrument.protocols.Store`."""
        return {"kind": "memory", "runs": len(self._journals), "objects": len(self._objects)}

    def _summary(self, run_id: str) -> RunSummary:
        alive = any(not journal.closed for journal in self._journals[run_id])
        return summarise(run_id, self.entries(run_id), alive=alive)

    def _with_aliases(self, version: ArtifactVersion) -> ArtifactVersion:
        aliases = self._aliases.get(version.name, {})
        names = sorted(alias for alias, number in aliases.items() if number == version.version)
        return msgspec.structs.replace(version, aliases=tuple(names))
