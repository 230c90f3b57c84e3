"""What differs from the commit, as one patch that ``git apply`` turns back into the tree.

The user's repository is only read. Untracked files get an entry in a copy of the index, under an
invented object id: git then takes their content from the working tree, and writes no object.
"""

import contextlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Final, NamedTuple

from instrument.capture.git import Git, Repository
from instrument.capture.literals import holds_secret
from instrument.capture.status import Change, Status
from instrument.redaction import printable
from instrument.settings import STORE_NAME

MAX_BYTES: Final = 20_000_000
"""How much content, before and after the change, a patch takes in."""
MAX_UNTRACKED: Final = 10_000
LIMIT_SECONDS: Final = 30.0
_SECRET_FILES: Final = (
    ".env", ".env.*", "*.pem", "*.key", "*.p12", "*.pfx", "id_rsa", "id_dsa", "id_ecdsa",
    "id_ed25519", ".netrc", ".npmrc", ".pypirc", ".git-credentials", "credentials.json",
)  # fmt: skip
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\r?\n")
_KEY_SEARCH_BYTES: Final = 65_536
_SECTION: Final = re.compile(rb"^diff --git ", re.MULTILINE)
_ADDED_LINE: Final = re.compile(rb"^\+(?!\+\+ )(.*\n?)", re.MULTILINE)
_NAMED: Final = 5
_DIFF: Final = (
    # Whatever the user has configured for reading diffs would keep this one from applying.
    "diff", "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--no-relative",
    "--src-prefix=a/", "--dst-prefix=b/", "--unified=3", "--find-renames=100%",
    "--submodule=short", "--ignore-submodules=dirty",
)  # fmt: skip


class Patch(NamedTuple):
    """What differs from the commit.

    Attributes:
        data: For ``git apply``; None when nothing differs or it could not be made.
        reason: What is left out and why; None when it is whole.
    """

    data: bytes | None
    reason: str | None


def make_patch(
    repository: Repository,
    status: Status,
    filters: Sequence[str],
    *,
    max_bytes: int = MAX_BYTES,
    limit_seconds: float = LIMIT_SECONDS,
) -> Patch:
    """The patch from the commit to the working tree. Never raises.

    Args:
        repository: The repository.
        status: Its status: which paths differ.
        filters: Names of filters that must not run.
        max_bytes: The largest files beyond this are left out.
        limit_seconds: How long git may take in all.
    """
    if not status.changes or repository.root is None:
        return Patch(None, None)
    try:
        with tempfile.TemporaryDirectory(prefix="instrument-") as scratch:
            work = _Work(repository, repository.root, filters, Path(scratch), limit_seconds)
            return work.patch(status, max_bytes)
    except OSError as error:  # git is gone, no space left, a time limit
        return Patch(None, f"what differs from the commit could not be kept: {error}")


class _File(NamedTuple):
    """A path that differs.

    Attributes:
        path: Relative to the root.
        tracked: Whether git knows it.
        size_bytes: The larger one of what it is and what it was.
    """

    path: bytes
    tracked: bool
    size_bytes: int


class _Work:
    """One patch in the making."""

    def __init__(
        self,
        repository: Repository,
        root: Path,
        filters: Sequence[str],
        scratch: Path,
        limit_seconds: float,
    ) -> None:
        self._repository = repository
        self._root = root
        self._filters = filters
        self._deadline = time.monotonic() + limit_seconds
        self._index = scratch / "index"
        self._left_out: list[str] = []

    def patch(self, status: Status, max_bytes: int) -> Patch:
        """The patch, with at most `max_bytes` of content."""
        with contextlib.suppress(FileNotFoundError):  # nothing was ever added
            shutil.copyfile(self._repository.git_dir / "index", self._index)
        commit = status.commit or self._empty_tree()
        files = self._files(status)
        chosen = self._choose(files, max_bytes)
        self._add([file.path for file in chosen if not file.tracked], "1" * len(commit))
        dropped = [file.path for file in files if file.tracked and file not in chosen]
        excluded = [f":(top,literal,exclude){os.fsdecode(path)}" for path in dropped]
        data = self._git(*_DIFF, commit, "--", ":/", *excluded)
        secrets = [path for path, added in self._added(data) if holds_secret(added)]
        if secrets:
            for path in secrets:
                self._leave_out(path, "looks like a secret")
            excluded += [f":(top,literal,exclude){os.fsdecode(path)}" for path in secrets]
            data = self._git(*_DIFF, commit, "--", ":/", *excluded)
        return Patch(data or None, _reason(self._left_out))

    def _added(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Each path of the patch with the content that the patch adds to it."""
        for section in _SECTION.split(data)[1:]:
            header, _, body = section.partition(b"\n")
            path = _path_of(header)
            if b"\nGIT binary patch\n" in body:
                yield path, self._content(path)
            else:
                yield path, b"".join(_ADDED_LINE.findall(body))

    def _content(self, path: bytes) -> bytes:
        try:
            absolute = self._absolute(path)
            return b"" if absolute.is_symlink() else absolute.read_bytes()
        except OSError:  # deleted
            return b""

    def _files(self, status: Status) -> list[_File]:
        """All paths that differ, each with its size."""
        tracked = [change for change in status.changes if change.tracked]
        for change in tracked:
            if change.is_submodule:
                self._leave_out(change.path, "changes inside a submodule")
        committed = self._committed_sizes([change for change in tracked if not change.is_submodule])
        files = [
            _File(path, tracked=True, size_bytes=max(size, self._size(path)))
            for path, size in committed
        ]
        if len(tracked) < len(status.changes):
            files += [
                _File(path, tracked=False, size_bytes=self._size(path))
                for path in self._untracked()
            ]
        return files

    def _committed_sizes(self, changes: Sequence[Change]) -> list[tuple[bytes, int]]:
        """Each path with its size in the commit, 0 where it is not there."""
        known = [change for change in changes if change.committed]
        if not known:
            return [(change.path, 0) for change in changes]
        names = "".join(f"{change.committed}\n" for change in known).encode()
        lines = self._git("cat-file", "--batch-check=%(objectsize)", feed=names).splitlines()
        sizes = {
            change.path: int(line)
            for change, line in zip(known, lines, strict=True)
            if line.isdigit()
        }
        return [(change.path, sizes.get(change.path, 0)) for change in changes]

    def _untracked(self) -> list[bytes]:
        """Untracked files that are not ignored; repositories inside this one are left out."""
        listed = self._git("ls-files", "--others", "--exclude-standard", "-z").split(b"\0")
        for path in listed:
            if path.endswith(b"/"):
                self._leave_out(path, "a repository of its own")
        files = [path for path in listed if path and not path.endswith(b"/") and not _is_ours(path)]
        for path in files[MAX_UNTRACKED:]:
            self._leave_out(path, f"beyond {MAX_UNTRACKED} untracked files")
        return files[:MAX_UNTRACKED]

    def _choose(self, files: Sequence[_File], max_bytes: int) -> set[_File]:
        """The files that may be kept and fit, smallest first."""
        chosen: set[_File] = set()
        total = 0
        for file in sorted(files, key=lambda file: (file.size_bytes, file.path)):
            total += file.size_bytes
            if total > max_bytes:
                self._leave_out(file.path, f"beyond {max_bytes / 1e6:g} MB")
            elif self._is_secret(file):
                self._leave_out(file.path, "looks like a secret")
            elif not file.tracked and self._mode(file.path) is None:
                self._leave_out(file.path, "neither a file nor a link")
            else:
                chosen.add(file)
        return chosen

    def _empty_tree(self) -> str:
        """Id of the tree without files: what there was before the first commit."""
        return self._git("hash-object", "-t", "tree", os.devnull).decode().strip()

    def _add(self, paths: Sequence[bytes], invented_id: str) -> None:
        """Put untracked files into the copy of the index."""
        modes = [(self._mode(path), path) for path in paths]
        lines = [b"%s %s 0\t%s\0" % (m, invented_id.encode(), p) for m, p in modes if m]
        if lines:
            self._git(
                "update-index", "--add", "--replace", "-z", "--index-info", feed=b"".join(lines)
            )

    def _git(self, *arguments: str, feed: bytes | None = None) -> bytes:
        """Run git on the copy of the index."""
        call = Git(
            self._root,
            *arguments,
            filters=self._filters,
            environment={"GIT_INDEX_FILE": str(self._index)},
            stdin=DEVNULL if feed is None else PIPE,
        )
        answer = call.output(self._deadline - time.monotonic(), feed)
        if answer.code:
            raise OSError(f"git {arguments[0]} failed: {answer.error[:200]}")
        return answer.out

    def _size(self, path: bytes) -> int:
        try:
            return self._absolute(path).lstat().st_size
        except OSError:
            return 0

    def _mode(self, path: bytes) -> bytes | None:
        """Mode, in git's words, of a file or link; None for anything else, and for what is gone."""
        try:
            mode = self._absolute(path).lstat().st_mode
        except OSError:
            return None
        if stat.S_ISLNK(mode):
            return b"120000"
        if not stat.S_ISREG(mode):
            return None
        return b"100755" if mode & stat.S_IXUSR else b"100644"

    def _is_secret(self, file: _File) -> bool:
        name = os.fsdecode(file.path).rpartition("/")[2].lower()
        if any(fnmatch(name, pattern) for pattern in _SECRET_FILES):
            return True
        try:
            head = _head(self._absolute(file.path))
        except OSError:  # gone, a link, a directory
            return False
        return _PRIVATE_KEY.search(head) is not None

    def _absolute(self, path: bytes) -> Path:
        return self._root / os.fsdecode(path)

    def _leave_out(self, path: bytes, why: str) -> None:
        self._left_out.append(f"{printable(os.fsdecode(path))} ({why})")


def _path_of(header: bytes) -> bytes:
    """The path in ``a/PATH b/PATH``; only a rename, which adds no content, has two."""
    name = header[: (len(header) - 1) // 2]
    if name.startswith(b'"'):
        name = name[1:-1].decode("unicode_escape").encode("latin-1")
    return name.removeprefix(b"a/")


def _head(path: Path) -> bytes:
    """The first bytes of a file; a link is not followed, a pipe not waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return os.read(descriptor, _KEY_SEARCH_BYTES)
    finally:
        os.close(descriptor)


def _is_ours(path: bytes) -> bool:
    return path.startswith(os.fsencode(STORE_NAME) + b"/")


def _reason(left_out: Sequence[str]) -> str | None:
    if not left_out:
        return None
    more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
    return f"left out of the patch: {', '.join(left_out[:_NAMED])}{more}"
