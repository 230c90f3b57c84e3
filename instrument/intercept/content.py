"""The content of a load: its files, hashed beside the load, and what they are together."""

import hashlib
import os
import re
import stat
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple

from instrument.artifacts.trees import listing
from instrument.intercept.worker import Worker
from instrument.protocols import Objects, Recorder
from instrument.records import ModelIdentified
from instrument.vocabulary import File

_HUB_BLOB: Final = re.compile(r"[0-9a-f]{64}")
_worker: Final = Worker()
_waiting: "set[Content]" = set()


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
    """

    def __init__(self, load_id: int, objects: Objects, recorder: Recorder) -> None:
        self._load_id = load_id
        self._objects = objects
        self._recorder = recorder
        self._paths: list[Path] = []
        self._hashed: dict[Path, _Hashed] = {}
        self._told = threading.Event()

    def add(self, path: Path) -> None:
        """A file of the load; hashing it begins at once, in another thread."""
        path = Path(os.path.abspath(path))  # noqa: PTH100 - links are left: they name the file
        if path not in self._paths:
            self._paths.append(path)
            _worker.submit(lambda: self._hash(path))

    def finish(self, requested: str | None) -> None:
        """No more files come; the record is written as soon as all are hashed."""
        if self._paths:
            _waiting.add(self)
            _worker.submit(lambda: self._tell(requested))
        else:
            self._tell(requested)

    def _hash(self, path: Path) -> None:
        self._hashed[path] = _hash(self._objects, path)

    def wait(self, seconds: float) -> bool:
        """Wait until the record is written; False when it is not after `seconds`."""
        return self._told.wait(seconds)

    def _tell(self, requested: str | None) -> None:
        try:
            self._recorder.record(self._identified(requested))
        except Exception as error:
            self._recorder.problem("record the content of a load", error)
        finally:
            _waiting.discard(self)
            self._told.set()

    def _identified(self, requested: str | None) -> ModelIdentified:
        hashed = self._hashed
        names = _names(hashed, requested)
        files = sorted(
            (
                File(path=names[path], digest=found.digest, size_bytes=found.size_bytes)
                for path, found in hashed.items()
            ),
            key=lambda file: file.path,
        )
        reasons = [
            f"{names[path]}: {found.reason}" for path, found in hashed.items() if found.reason
        ]
        whole = bool(files) and all(file.digest for file in files)
        digest = f"sha256:{hashlib.sha256(listing(files)).hexdigest()}" if whole else None
        return ModelIdentified(
            load_id=self._load_id,
            files=tuple(files),
            digest=digest,
            reason="; ".join(reasons) or (None if files else "no file was seen to be read"),
            hashing_seconds=sum(found.seconds for found in hashed.values()),
        )


def wait_for_contents(recorder: Recorder, seconds: float) -> int:
    """Wait until what was loaded for `recorder` is identified; how many are not after `seconds`."""
    mine = [content for content in list(_waiting) if content._recorder is recorder]  # noqa: SLF001
    deadline = time.monotonic() + seconds
    return sum(not content.wait(max(deadline - time.monotonic(), 0)) for content in mine)


os.register_at_fork(after_in_child=_waiting.clear)


def _hash(objects: Objects, path: Path) -> _Hashed:
    """The digest of the file at `path`; why not, where it has none."""
    before = time.thread_time()
    try:
        first = path.stat()
        if not stat.S_ISREG(first.st_mode):
            return _Hashed(0, "", "is no regular file", 0.0)
        file = objects.identify(path)
        reason = _changed(first, path.stat()) or _other_than_hub(path, file.digest)
    except Exception as error:
        return _Hashed(0, "", str(error)[:300], time.thread_time() - before)
    return _Hashed(file.size_bytes, file.digest, reason, time.thread_time() - before)


def _changed(before: os.stat_result, after: os.stat_result) -> str | None:
    same = (before.st_size, before.st_mtime_ns, before.st_ino) == (
        after.st_size, after.st_mtime_ns, after.st_ino,
    )  # fmt: skip
    return None if same else "changed while it was loaded"


def _other_than_hub(path: Path, digest: str) -> str | None:
    """The cache of the Hub names large files by their SHA-256."""
    name = path.resolve().name
    if _HUB_BLOB.fullmatch(name) and digest != f"sha256:{name}":
        return f"differs from the name that the hub gave it ({name})"
    return None


def _names(files: "dict[Path, _Hashed]", requested: str | None) -> dict[Path, str]:
    """Short names: within the directory that was asked for, or that holds all the files."""
    if not files:
        return {}
    root = Path(os.path.abspath(requested)) if requested else None  # noqa: PTH100 - links are left
    if root is None or not all(path.is_relative_to(root) for path in files) or root in files:
        parents = [path.parent for path in files]
        root = Path(os.path.commonpath(parents))
    return {path: path.relative_to(root).as_posix() for path in files}
