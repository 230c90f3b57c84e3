"""A run's code, given back: the commit, what differed from it, and the repositories inside.

Everything is put together in an index of our own, from objects alone, and written out once, byte by
byte as it was: no filter, hook or conversion has a part in it. What comes out is compared with the
digests of the record.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from instrument.capture.commits import Source
from instrument.capture.git import Git, succeed
from instrument.capture.manifest import EXECUTABLE, ChangedFile, Manifest, Place, path_bytes
from instrument.capture.restored import Restored, check
from instrument.capture.scratch import Scratch
from instrument.errors import NotFoundError, StoreError, UsageError

LIMIT_SECONDS: Final = 3600.0
_GITLINK: Final = b"160000"
_DROP: Final = b"0 " + b"0" * 40 + b"\t"
_DROP_SHA256: Final = b"0 " + b"0" * 64 + b"\t"


class Recorded(NamedTuple):
    """What a run has kept of its code.

    Attributes:
        manifest: The repositories, and each file that differs.
        patch: What differs from the commits, or None.
        script: Source of the lone script that `manifest` names, or None.
    """

    manifest: Manifest
    patch: bytes | None = None
    script: bytes | None = None


def restore(
    recorded: Recorded,
    directory: Path,
    source: Source | None,
    *,
    limit_seconds: float = LIMIT_SECONDS,
) -> Restored:
    """Make the tree that `recorded` describes in `directory`: whole, or not at all.

    Args:
        recorded: What the run has kept.
        directory: Where it goes: missing or empty.
        source: Where the commits come from; None when there is no repository.
        limit_seconds: How long git may take in all.

    Raises:
        UsageError: `directory` is not empty.
        NotFoundError: A commit is not there.
        StoreError: It cannot be written, or git failed.
    """
    if directory.is_symlink() or (directory.exists() and not _is_empty(directory)):
        raise UsageError(f"{directory} is not an empty directory; name another")
    deadline = time.monotonic() + limit_seconds
    try:
        directory.absolute().parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".instrument-", dir=directory.absolute().parent))
    except OSError as error:
        raise StoreError(f"{directory} cannot be made: {error.strerror}") from error
    try:
        if source is not None:
            _write(recorded, work, source, deadline)
        elif recorded.script is not None:
            _write_script(recorded.manifest.files[0], recorded.script, work)
        work.chmod(0o777 & ~_umask())
        work.rename(directory)
    except NotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"the code cannot be restored: {error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return check(recorded.manifest, directory)


def _write(recorded: Recorded, work: Path, source: Source, deadline: float) -> None:
    """Write everything into the empty directory `work`."""
    manifest, patch, _ = recorded
    places = sorted(manifest.repositories, key=lambda place: path_bytes(place.path).count(b"/"))
    places.sort(key=lambda place: bool(place.path))
    for place in places:
        source.provide(place, work, deadline)
    with tempfile.TemporaryDirectory(prefix="instrument-") as directory:
        scratch = Scratch(
            Path(directory) / "git",
            work_tree=work,
            objects=[_git_dir(work, place) / "objects" for place in places],
            is_sha256=any(place.is_sha256 for place in places),
            limit_seconds=deadline - time.monotonic(),
        )
        _fill_index(scratch, places)
        if patch:
            scratch.git(
                "apply", "--cached", "--unidiff-zero", "--whitespace=nowarn", "-", feed=patch
            )
        gone = [path_bytes(file.path) for file in manifest.files if file.mode is None]
        _drop(scratch, gone, places)
        scratch.git("checkout-index", "--all", "--force", "--quiet")
    _put_large(manifest, places, work, source)
    for place in places:
        _settle(_git_dir(work, place), place, deadline)


def _write_script(file: ChangedFile, script: bytes, work: Path) -> None:
    path = work / os.fsdecode(path_bytes(file.path))
    path.write_bytes(script)
    path.chmod(0o755 if file.mode == EXECUTABLE else 0o644)


def _fill_index(scratch: Scratch, places: Sequence[Place]) -> None:
    """All commits at once; repositories inside take the place of the links to them."""
    for place in places:
        if place.commit is not None:
            where = path_bytes(place.path)
            prefix = [f"--prefix={os.fsdecode(where)}/"] if where else []
            scratch.git("read-tree", *prefix, place.commit)
            entries = scratch.git("ls-files", "--stage", "-z").split(b"\0")
            links = [entry.partition(b"\t")[2] for entry in entries if entry.startswith(_GITLINK)]
            _drop(scratch, links, places)


def _drop(scratch: Scratch, paths: Sequence[bytes], places: Sequence[Place]) -> None:
    """Take `paths` out of the index."""
    if paths:
        drop = _DROP_SHA256 if any(place.is_sha256 for place in places) else _DROP
        lines = b"".join(drop + path + b"\0" for path in paths)
        scratch.git("update-index", "-z", "--index-info", feed=lines)


def _put_large(manifest: Manifest, places: Sequence[Place], work: Path, source: Source) -> None:
    """Put what Git LFS holds in the place of its pointers, as far as it is there."""
    for file in manifest.files:
        if not file.is_lfs or file.digest is None:
            continue
        path = path_bytes(file.path)
        held = source.large(_place_of(path, places), file.digest.removeprefix("sha256:"))
        target = work / os.fsdecode(path)
        if held is not None and target.parent.resolve().is_relative_to(work.resolve()):
            target.unlink()
            shutil.copyfile(held, target)
            target.chmod(0o755 if file.mode == EXECUTABLE else 0o644)


def _place_of(path: bytes, places: Sequence[Place]) -> Place:
    """The innermost repository around `path`."""
    around = [p for p in places if not p.path or path.startswith(path_bytes(p.path) + b"/")]
    return max(around, key=lambda place: len(place.path))


def _settle(git_dir: Path, place: Place, deadline: float) -> None:
    """Let the user's git see the commit, and what differs as changes that are not staged."""
    environment = {"GIT_DIR": str(git_dir), "GIT_WORK_TREE": str(git_dir.parent)}
    if place.commit is not None:
        for arguments in (("read-tree", "HEAD"), ("update-index", "-q", "--refresh")):
            with suppress(OSError):  # a refresh tells by its exit code that files differ
                call = Git(git_dir.parent, *arguments, environment=environment)
                succeed(call, deadline - time.monotonic())
    (git_dir / "info" / "attributes").unlink()


def _git_dir(work: Path, place: Place) -> Path:
    return work / os.fsdecode(path_bytes(place.path)) / ".git"


def _is_empty(directory: Path) -> bool:
    return directory.is_dir() and not any(directory.iterdir())


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
