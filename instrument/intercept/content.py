"""The content of a load: its files, hashed beside the load, and what they are together."""

import hashlib
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from instrument.artifacts.trees import listing
from instrument.intercept.session import cost
from instrument.intercept.worker import worker
from instrument.protocols import Objects, Recorder
from instrument.records import ContentIdentified
from instrument.vocabulary import File

MAX_FILES: Final = 5000
MAX_FILE_BYTES: Final = 1 << 40  # a terabyte: half an hour of hashing
MAX_MEMORY_BYTES: Final = 64 << 20  # bytes that are kept until they are hashed
_MAX_REASONS: Final = 10
_MAX_BLOB_BYTES: Final = 16 << 20
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_GIT_SHA1: Final = re.compile(r"[0-9a-f]{40}")


class _Hashed(NamedTuple):
    """What became of one file."""

    size_bytes: int
    digest: str
    reason: str | None
    seconds: float


class Content:
    """The files of one load. Any thread may add to it.

    Args:
        load_id: The load.
        objects: Knows digests.
        recorder: Where the record goes.
        limit_bytes: Files beyond so many bytes together are not hashed; None: all are.
        max_files: More files are left out.
        at_once_bytes: Files of so few bytes are hashed by the thread that adds them: of thousands
            of small ones, to hand each over would cost more.

    Attributes:
        digest: What they are together, when it is known.
        then: Called with the record when it is written.
        missed: Names of what was logged without waiting longer for the digest.
    """

    def __init__(  # noqa: PLR0913 - the limits are given by name
        self,
        load_id: int,
        objects: Objects,
        recorder: Recorder,
        limit_bytes: int | None = None,
        *,
        max_files: int = MAX_FILES,
        at_once_bytes: int = -1,
    ) -> None:
        self.recorder = recorder
        self.digest: str | None = None
        self.then: Callable[[ContentIdentified], None] | None = None
        self.missed: list[str] = []
        self.reason: str | None = None
        self._load_id = load_id
        self._objects = objects
        self._limit_bytes = limit_bytes
        self._max_files = max_files
        self._at_once_bytes = at_once_bytes
        self._size_bytes = 0
        self._requested: str | None = None
        self._files: dict[Path, None] = {}  # in the order they were read
        self._hashed: dict[Path, _Hashed] = {}
        self._reasons: list[str] = []
        self._left_out = 0
        self._telling = threading.Lock()
        self._told = threading.Event()

    def add(self, path: Path) -> None:
        """A file of the load; hashing it begins at once, in another thread."""
        path = Path(os.path.abspath(path))  # noqa: PTH100 - links are left: they name the file
        if path in self._files:
            return
        if len(self._files) >= self._max_files:
            self._left_out += 1
            return
        self._files[path] = None
        status = _status(path)
        self._size_bytes += status.st_size if status is not None else 0
        if self._limit_bytes is not None and self._size_bytes > self._limit_bytes:
            reason = f"is beyond the {self._limit_bytes / 2**30:g} GiB of a read that are hashed"
            self._hashed[path] = _Hashed(0, "", reason, 0.0)
            return
        if status is not None and status.st_size <= self._at_once_bytes:
            self._hash(path, status)
        else:
            worker.submit(partial(self._hash, path, status))

    def add_bytes(self, data: bytes) -> None:
        """What is loaded from memory; small data is kept until it is hashed."""
        if len(data) > MAX_MEMORY_BYTES:
            self.skip(f"{len(data)} bytes in memory, which are too many to hold them for a digest")
            return
        path = Path("(bytes)")
        self._files[path] = None
        worker.submit(partial(self._hash_bytes, path, data))

    def skip(self, reason: str) -> None:
        """Something was read that has no digest."""
        if len(self._reasons) < _MAX_REASONS:
            self._reasons.append(reason)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was read yet."""
        return not self._files and not self._reasons

    def has(self, path: Path) -> bool:
        """Whether `path` is one of the files."""
        return path in self._files

    def finish(self, requested: str | None) -> None:
        """No more files come; the record is written as soon as all are hashed."""
        self._requested = requested
        if self._files:
            _waiting.add(self)
            worker.submit(partial(self.tell, aside=True))
        else:
            self.tell()

    def wait(self, seconds: float) -> bool:
        """Wait until the record is written; False when it is not after `seconds`."""
        return self._told.wait(seconds)

    def tell(self, *, aside: bool = False) -> None:
        """Write the record of what is hashed by now, unless it is written.

        Args:
            aside: In the hash thread, which goes on: what a strict run fails with waits for its
                end.

        Raises:
            Exception: What could not be recorded of a strict run.
        """
        if not self._telling.acquire(blocking=False):
            return  # for good
        try:
            identified = self.identified()
            self.digest, self.reason = identified.digest, identified.reason
            self.recorder.record(identified)
            if self.then is not None:
                self.then(identified)
        except Exception as error:
            try:
                self.recorder.problem("record the content of a load", error)
            except Exception as raised:
                if not aside:
                    raise
                _failed.append((self.recorder, raised))
        finally:
            _waiting.discard(self)
            self._told.set()

    def _hash(self, path: Path, before: os.stat_result | None) -> None:
        if path in self._files and not self._told.is_set():
            with cost(self.recorder):
                self._hashed[path] = _hash(self._objects, path, before)

    def _hash_bytes(self, path: Path, data: bytes) -> None:
        with cost(self.recorder):
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self._hashed[path] = _Hashed(len(data), digest, None, 0.0)

    def identified(self) -> ContentIdentified:
        """The record of what is hashed by now."""
        late = _Hashed(0, "", "was not hashed when the run ended", 0.0)
        hashed = {path: self._hashed.get(path, late) for path in list(self._files)}
        names = _names(hashed, self._requested)
        files = sorted(
            (
                File(path=names[path], digest=found.digest, size_bytes=found.size_bytes)
                for path, found in hashed.items()
            ),
            key=lambda file: file.path,
        )
        return ContentIdentified(
            load_id=self._load_id,
            files=tuple(files),
            digest=_digest(files) if not self._reasons and not self._left_out else None,
            reason=self._reason(names, hashed),
            hashing_seconds=sum(found.seconds for found in hashed.values()),
        )

    def _reason(self, names: dict[Path, str], hashed: dict[Path, _Hashed]) -> str | None:
        reasons = [*self._reasons]
        reasons += [f"{names[path]}: {file.reason}" for path, file in hashed.items() if file.reason]
        if not hashed and not reasons:
            return "no file was seen to be read"
        more = len(reasons) - _MAX_REASONS
        if more > 0:
            reasons[_MAX_REASONS:] = [f"and {more} more"]
        if self._left_out:
            reasons.append(f"{self._left_out} files more than {self._max_files} are left out")
        return "; ".join(reasons) or None


_waiting: Final[set[Content]] = set()
_failed: Final[list[tuple[Recorder, Exception]]] = []
os.register_at_fork(after_in_child=_waiting.clear)
os.register_at_fork(after_in_child=_failed.clear)


def wait_for_contents(recorder: Recorder, seconds: float) -> int:
    """Wait until what was loaded for `recorder` is identified; how many are not after `seconds`.

    Those are recorded as they are.

    Raises:
        Exception: What could not be recorded of a strict run.
    """
    mine = [content for content in list(_waiting) if content.recorder is recorder]
    deadline = time.monotonic() + seconds
    late = [content for content in mine if not content.wait(max(deadline - time.monotonic(), 0))]
    for content in late:
        content.tell()
    failures = [failure for failure in list(_failed) if failure[0] is recorder]
    for failure in failures:
        _failed.remove(failure)
    if failures:
        raise failures[0][1]
    return len(late)


def settle(recorder: Recorder, seconds: float, name: str) -> None:
    """Wait until what was loaded for `recorder` before is identified; for each only once.

    Args:
        recorder: The run.
        seconds: How long to wait at most.
        name: What is about to be logged; `Content.missed` has it where that took longer.
    """
    deadline = time.monotonic() + seconds
    for content in [content for content in list(_waiting) if content.recorder is recorder]:
        left = 0 if content.missed else max(deadline - time.monotonic(), 0)
        if not content.wait(left):
            content.missed.append(name)


def _digest(files: Iterable[File]) -> str | None:
    """Of one file its own, of several that of their listing; None when one is missing."""
    found = list(files)
    if not found or not all(file.digest for file in found):
        return None
    if len(found) == 1:
        return found[0].digest
    return f"sha256:{hashlib.sha256(listing(found)).hexdigest()}"


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):
        return None


def _hash(objects: Objects, path: Path, before: os.stat_result | None) -> _Hashed:
    """The digest of the file at `path`; why not, where it has none.

    Args:
        objects: Knows digests.
        path: The file.
        before: What it was like when it was opened; None when it was not there.
    """
    started = time.thread_time()
    reason = _unfit(before)
    if before is None or reason is not None:
        return _Hashed(0, "", reason, 0.0)
    try:
        file = objects.identify(path)
        if _state(before) != _state(path.stat()):
            return _Hashed(0, "", "changed while it was loaded", time.thread_time() - started)
        reason = _unlike_its_name(path, file)
    except Exception as error:
        return _Hashed(0, "", str(error)[:300], time.thread_time() - started)
    return _Hashed(file.size_bytes, file.digest, reason, time.thread_time() - started)


def _unfit(status: os.stat_result | None) -> str | None:
    """Why a file is not hashed."""
    if status is None:
        return "was not there when it was asked for"
    if not stat.S_ISREG(status.st_mode):
        return "is no regular file"
    if status.st_size > MAX_FILE_BYTES:
        return f"has {status.st_size} bytes, which would take too long to hash"
    return None


def _state(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _unlike_its_name(path: Path, file: File) -> str | None:
    """The cache of the hub names large files by their SHA-256, and small ones as git does."""
    if path.parent.name != "blobs" and not path.is_symlink():
        return None  # to resolve a path takes longer than to hash a small file
    blob = path.resolve()
    if blob.parent.name != "blobs":
        return None
    if _SHA256.fullmatch(blob.name):
        same = file.digest == f"sha256:{blob.name}"
    elif _GIT_SHA1.fullmatch(blob.name) and file.size_bytes <= _MAX_BLOB_BYTES:
        data = blob.read_bytes()
        git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False)
        same = git.hexdigest() == blob.name
    else:
        return None
    return None if same else f"differs from the name that the hub gave it ({blob.name})"


def _names(files: Iterable[Path], requested: str | None) -> dict[Path, str]:
    """Short names: within the directory that was asked for, or that holds all the files."""
    paths = list(files)
    if not paths:
        return {}
    root = Path(os.path.abspath(requested)) if requested else None  # noqa: PTH100 - links are left
    if root is None or not all(path.is_relative_to(root) for path in paths) or root in paths:
        root = Path(os.path.commonpath([path.parent for path in paths]))
    return {path: path.relative_to(root).as_posix() for path in paths}
