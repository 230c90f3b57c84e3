"""A run's code, given back: the commit, what differed from it, and the repositories inside.

Everything is put together in an index of our own, from objects alone, and written out once, byte by
byte as it was: no filter, hook or conversion has a part in it. What comes out is compared with the
digests of the record.
"""

import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import Final, NamedTuple

import msgspec

from instrument.capture.git import Git, succeed
from instrument.capture.manifest import (
    EXECUTABLE,
    LINK,
    REGULAR,
    ChangedFile,
    Manifest,
    Place,
    path_bytes,
)
from instrument.capture.repository import Repository, find_repository, repository_at
from instrument.capture.scratch import Scratch
from instrument.errors import NotFoundError, StoreError, UsageError

LIMIT_SECONDS: Final = 3600.0
_GITLINK: Final = b"160000"
_DROP: Final = b"0 " + b"0" * 40 + b"\t"
_DROP_SHA256: Final = b"0 " + b"0" * 64 + b"\t"
_PROTOCOLS: Final = "file:git:http:https:ssh"


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a tree that was asked for.

    Attributes:
        directory: Where it lies.
        commit: The commit, or None.
        verified: How many files that differed from the commit are there, byte for byte.
        differing: Paths that are not as the record has them.
        left_out: Paths that the record has not kept, each with the reason.
    """

    directory: str
    commit: str | None
    verified: int
    differing: tuple[str, ...]
    left_out: dict[str, str]


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


class Source:
    """Where commits come from: a repository on this machine, or one that a URL names.

    Args:
        location: A path or a URL.

    Raises:
        NotFoundError: There is no repository at that path.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self.is_url = "://" in location or _is_scp(location)
        self._repository: Repository | None = None
        if not self.is_url:
            path = Path(location).expanduser()
            self._repository = find_repository(path.resolve()) if path.is_dir() else None
            if self._repository is None:
                raise NotFoundError(
                    f"{location!r} is no git repository; --repository names another"
                )

    def has(self, place: Place) -> bool:
        """Whether the commit of `place` is there; True for a URL, which only a fetch can tell."""
        if self.is_url or place.commit is None:
            return True
        with tempfile.TemporaryDirectory(prefix="instrument-") as scratch:
            seen = Scratch(
                Path(scratch) / "git",
                objects=self._objects(place),
                is_sha256=_is_sha256(place),
                limit_seconds=60,
            )
            try:
                seen.git("rev-parse", "--quiet", "--verify", f"{place.commit}^{{tree}}")
            except OSError:
                return False
        return True

    def provide(self, place: Place, root: Path, deadline: float) -> None:
        """Make the repository of `place`, with its commit and nothing older, in `root`.

        Raises:
            NotFoundError: The commit is not there.
            OSError: git failed or took too long.
        """
        directory = root / os.fsdecode(path_bytes(place.path))
        made = Scratch(
            directory / ".git",
            work_tree=directory,
            objects=() if self.is_url else self._objects(place),
            is_sha256=_is_sha256(place),
            limit_seconds=deadline - time.monotonic(),
        )
        if place.commit is None:
            return
        if self.is_url:
            self._fetch(place, directory, deadline)
        else:
            if not self.has(place):
                raise NotFoundError(self._missing(place))
            (made.git_dir / "shallow").write_text(f"{place.commit}\n")
            pack = str(made.git_dir / "objects" / "pack" / "pack")
            made.git("pack-objects", "--quiet", "--revs", pack, feed=f"{place.commit}\n".encode())
            made.alternates.unlink()
        (made.git_dir / "HEAD").write_text(f"{place.commit}\n")

    def large(self, place: Place, digest: str) -> Path | None:
        """The file in which Git LFS holds `digest` (hex), if it is there."""
        if self.is_url:
            return None
        for objects in self._objects(place):
            path = objects.parent / "lfs" / "objects" / digest[:2] / digest[2:4] / digest
            if path.is_file():
                return path
        return None

    def _objects(self, place: Place) -> list[Path]:
        """Directories that may have the objects of `place`."""
        repository = self._repository
        if repository is None:
            return []
        if not place.path:
            return [repository.objects]
        found = []
        path = os.fsdecode(path_bytes(place.path))
        if repository.root is not None and (inside := repository_at(repository.root / path)):
            found.append(inside.objects)
        modules = repository.common_dir / "modules"
        if modules.is_dir():  # also of submodules that have gone from the tree, or moved
            found += sorted(
                directory for directory in modules.rglob("objects")
                if (directory.parent / "HEAD").exists()
            )  # fmt: skip
        return found

    def _fetch(self, place: Place, directory: Path, deadline: float) -> None:
        """Get the commit from the URL, alone where the server allows it."""
        url = self.location if not place.path else place.remote
        commit = place.commit or ""
        if not url:
            raise NotFoundError(
                f"no URL is recorded for {place.path!r}; name a local repository with --repository"
            )
        attempts = (["--depth=1", url, commit], [url, "+refs/*:refs/remotes/origin/*"])
        for attempt in attempts:
            if _fetched(directory, attempt, deadline) and _has_commit(directory, commit):
                return
        raise NotFoundError(f"{url} does not give commit {commit[:12]}; {_way_out(place)}")

    def _missing(self, place: Place) -> str:
        what = f"of {place.path!r} " if place.path else ""
        return (
            f"commit {str(place.commit)[:12]} {what}is not in {self.location} "
            f"(removed, or never fetched); {_way_out(place)}"
        )


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


def check(manifest: Manifest, directory: Path) -> Restored:
    """Compare the files below `directory` with the digests in `manifest`."""
    differing = [file.path for file in manifest.files if not _is_as_recorded(file, directory)]
    left_out = {each.path: each.reason for each in manifest.left_out}
    return Restored(
        directory=str(directory),
        commit=manifest.repositories[0].commit if manifest.repositories else None,
        verified=len(manifest.files) - len(differing),
        differing=tuple(differing),
        left_out=left_out,
    )


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
            is_sha256=any(map(_is_sha256, places)),
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
        drop = _DROP_SHA256 if any(map(_is_sha256, places)) else _DROP
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
                _run(git_dir.parent, arguments, environment, deadline)
    (git_dir / "info" / "attributes").unlink()


def _run(
    directory: Path, arguments: Sequence[str], environment: dict[str, str], deadline: float
) -> None:
    call = Git(directory, *arguments, environment=environment)
    succeed(call, deadline - time.monotonic())


def _fetched(directory: Path, arguments: Sequence[str], deadline: float) -> bool:
    """Whether git could fetch: with the user's own settings, since it is the user who asks."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_DIR")},
        "GIT_ALLOW_PROTOCOL": _PROTOCOLS,
    }
    child = Popen(
        ["git", "-C", str(directory), "fetch", "--quiet", "--no-tags", *arguments],
        env=environment,
        stdin=DEVNULL,
        stderr=PIPE,
    )
    try:
        child.communicate(timeout=max(deadline - time.monotonic(), 0))
    except TimeoutExpired:
        child.kill()
        child.communicate()
        raise TimeoutError("git fetch took too long") from None
    return child.returncode == 0


def _has_commit(directory: Path, commit: str) -> bool:
    try:
        environment = {"GIT_DIR": str(directory / ".git")}
        _run(
            directory, ("cat-file", "-e", f"{commit}^{{tree}}"), environment, time.monotonic() + 60
        )
    except OSError:
        return False
    return True


def _is_as_recorded(file: ChangedFile, directory: Path) -> bool:
    """Whether the file is there with its mode and bytes, or is not there when it was deleted."""
    path = directory / os.fsdecode(path_bytes(file.path))
    try:
        found = path.lstat()
        is_here = path.parent.resolve() == directory.resolve() / path.parent.relative_to(directory)
    except OSError:
        return file.mode is None
    if file.mode is None:  # a directory, or a link on the way, may have taken its place
        return stat.S_ISDIR(found.st_mode) or not is_here
    if stat.S_ISLNK(found.st_mode):
        mode, chunks = LINK, iter([os.fsencode(path.readlink())])
    elif stat.S_ISREG(found.st_mode):
        mode = EXECUTABLE if found.st_mode & stat.S_IXUSR else REGULAR
        chunks = _chunks(path)
    else:
        return False
    if not is_here:
        return False
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return mode == file.mode and f"sha256:{digest.hexdigest()}" == file.digest


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk


def _git_dir(work: Path, place: Place) -> Path:
    return work / os.fsdecode(path_bytes(place.path)) / ".git"


def _is_sha256(place: Place) -> bool:
    return len(place.commit or "") == 64  # noqa: PLR2004 - hex digits


def _is_scp(location: str) -> bool:
    """Whether it is ``host:path``."""
    host, colon, _ = location.partition(":")
    return bool(colon) and "/" not in host and not Path(location).exists()


def _is_empty(directory: Path) -> bool:
    return directory.is_dir() and not any(directory.iterdir())


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _way_out(place: Place) -> str:
    commit = place.commit or "the commit"
    return (
        f"fetch it there (`git fetch origin {commit}`) or name a repository that has it with "
        "--repository"
    )
