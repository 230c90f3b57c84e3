"""Everything that differs from what is committed: in a repository and in those inside it."""

import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from subprocess import PIPE
from typing import Final, NamedTuple

from instrument.capture.git import Git, ask, own_filters, succeed
from instrument.capture.listing import (
    ARGUMENTS as LISTING,
    POINTER_MAX_BYTES,
    SETTINGS_ARGUMENTS as SETTINGS,
    Indexed,
    Listing,
    converted,
    may_convert,
    parse_listing,
    parse_settings,
    pointed_to,
)
from instrument.capture.repository import Repository, repository_at
from instrument.capture.status import ARGUMENTS as STATUS, Change, Committed, Status, parse_status
from instrument.redaction import printable
from instrument.settings import STORE_NAME

MAX_UNTRACKED: Final = 10_000
_GITLINK: Final = "160000"
_UNTRACKED: Final = ("ls-files", "--others", "--exclude-standard", "-z")


class Difference(NamedTuple):
    """A path that differs from the commit, or may.

    Attributes:
        path: Relative to the root of the code's repository.
        committed: What the commit has there; None for nothing.
        is_hidden: Whether git was told to pass it over, as in a sparse checkout.
    """

    path: bytes
    committed: Committed | None
    is_hidden: bool = False


class Large(NamedTuple):
    """A file whose bytes Git LFS holds.

    Attributes:
        path: Relative to the root of the code's repository.
        digest: SHA-256 of its bytes, hex.
    """

    path: bytes
    digest: str


class Asked(NamedTuple):
    """A repository whose status is known.

    Attributes:
        repository: The repository.
        status: Its status.
        filters: Names of filters that must not run.
    """

    repository: Repository
    status: Status
    filters: Sequence[str]


class Tree(NamedTuple):
    """One repository with its working tree.

    Attributes:
        path: Where it lies, relative to the root of the code's repository; empty for that itself.
        repository: The repository.
        is_registered: Whether it is a submodule; False for one that merely lies there.
        status: Its status.
        listing: Its index.
        settings: Its remotes, and what converts its files.
        differences: The paths that differ.
        large: Files that Git LFS holds, unchanged.
    """

    path: bytes
    repository: Repository
    is_registered: bool
    status: Status
    listing: Listing
    settings: dict[str, str]
    differences: tuple[Difference, ...]
    large: tuple[Large, ...]

    @property
    def is_dirty(self) -> bool:
        """Whether anything in it differs from its commit."""
        return bool(self.status.changes)


class Gathering:
    """Goes through a repository and those inside it.

    Args:
        deadline: When git must be done, by the monotonic clock.

    Attributes:
        left_out: What could not be looked at, and why.
    """

    def __init__(self, deadline: float) -> None:
        self.left_out: list[tuple[bytes, str]] = []
        self._deadline = deadline

    def trees(self, outermost: Asked) -> tuple[Tree, ...]:
        """The repository `outermost`, then the ones inside it, from the outside in.

        Raises:
            OSError: git cannot be asked about `outermost`.
        """
        return tuple(self._walk(b"", outermost, is_registered=False))

    def _walk(self, prefix: bytes, asked: Asked, *, is_registered: bool) -> Iterator[Tree]:
        repository, status, filters = asked
        root = repository.root
        if root is None:
            return
        with ask(repository, *SETTINGS) as answering:  # meanwhile
            listing = parse_listing(self._ask(repository, *LISTING, filters=filters))
            settings = parse_settings(answering.output(self._left()).out)
        untracked = self._untracked(prefix, repository, status, filters)
        inside = [path.rstrip(b"/") for path in untracked if path.endswith(b"/")]
        differences = self._tracked(repository, status)
        differences += [Difference(path, None) for path in untracked if not path.endswith(b"/")]
        differences += self._hidden(prefix, listing)
        large: list[Large] = []
        if may_convert(repository, listing, settings):
            known = {difference.path for difference in differences}
            others = [file for file in listing.files() if file.path not in known]
            found = self._converted(repository, others)
            large = self._large(repository, found)
            held = {file.path for file in large}
            differences += [Difference(*file) for file in found if file.path not in held]
        yield Tree(
            prefix.rstrip(b"/"),
            repository,
            is_registered,
            status,
            listing,
            settings,
            tuple(each._replace(path=prefix + each.path) for each in differences),
            tuple(Large(prefix + path, digest) for path, digest in large),
        )
        registered = [path for path, _ in listing.gitlinks]
        for path in (*registered, *inside):
            yield from self._inside(
                prefix + path + b"/", root / os.fsdecode(path), path in registered
            )

    def _inside(self, prefix: bytes, root: Path, is_registered: bool) -> Iterator[Tree]:
        """The repository at `root`, if it is checked out, and those inside it."""
        try:
            repository = None if root.is_symlink() else repository_at(root)
            if repository is None or repository.root is None:
                return
            filters = own_filters(repository, self._left())
            status = parse_status(self._ask(repository, *STATUS, filters=filters))
            asked = Asked(repository, status, filters)
            yield from self._walk(prefix, asked, is_registered=is_registered)
        except OSError as error:
            self.left_out.append(
                (prefix.rstrip(b"/"), f"a repository that cannot be read: {error}")
            )

    def _tracked(self, repository: Repository, status: Status) -> list[Difference]:
        """Paths that git knows or knew; a repository registered there is none of them."""
        tracked = [change for change in status.changes if change.tracked]
        torn = [change.path for change in tracked if change.is_unmerged]
        before = self._committed(repository, status.commit, torn) if torn else {}
        return [
            Difference(change.path, _content(change, before))
            for change in tracked
            if not (change.committed and change.committed.mode == _GITLINK)
        ]

    def _hidden(self, prefix: bytes, listing: Listing) -> list[Difference]:
        """Files that git was told to pass over."""
        for path, _ in listing.hidden[MAX_UNTRACKED:]:
            self.left_out.append(
                (prefix + path, f"beyond {MAX_UNTRACKED} files that git passes over")
            )
        return [Difference(*file, is_hidden=True) for file in listing.hidden[:MAX_UNTRACKED]]

    def _committed(
        self, repository: Repository, commit: str | None, paths: Iterable[bytes]
    ) -> dict[bytes, Committed]:
        """What `commit` has at `paths`."""
        if commit is None:
            return {}
        listed = self._ask(repository, "ls-tree", "-r", "-z", "--full-tree", commit)
        wanted = set(paths)
        found: dict[bytes, Committed] = {}
        for line in listed.split(b"\0"):
            facts, _, path = line.partition(b"\t")
            if path in wanted:
                mode, _, object_id = facts.decode().split(" ")
                found[path] = Committed(mode, object_id)
        return found

    def _untracked(
        self, prefix: bytes, repository: Repository, status: Status, filters: Sequence[str]
    ) -> list[bytes]:
        """Untracked files that are not ignored; repositories among them end in a slash."""
        if not status.changes:  # of what lies where a file was, a status does not always tell
            return []
        listed = self._ask(repository, *_UNTRACKED, filters=filters).split(b"\0")
        paths = [path for path in listed if path and not _is_ours(path)]
        for path in paths[MAX_UNTRACKED:]:
            self.left_out.append((prefix + path, f"beyond {MAX_UNTRACKED} untracked files"))
        return paths[:MAX_UNTRACKED]

    def _converted(self, repository: Repository, files: Sequence[Indexed]) -> list[Indexed]:
        root = repository.root
        return converted(root, files, lambda ids: self._sizes(repository, ids)) if root else []

    def _large(self, repository: Repository, files: Sequence[Indexed]) -> list[Large]:
        """Those of `files` that are committed as pointers to exactly what lies in the tree."""
        ids = [file.committed.object_id for file in files]
        small = [
            (file, size)
            for file, size in zip(files, self._sizes(repository, ids), strict=True)
            if size is not None and size <= POINTER_MAX_BYTES
        ]
        found: list[Large] = []
        contents = self._contents(repository, [(f.committed.object_id, size) for f, size in small])
        for (file, _), content in zip(small, contents, strict=True):
            pointer = pointed_to(content)
            if pointer and repository.root:
                digest, size = pointer
                if _has_size(repository.root / os.fsdecode(file.path), size):
                    found.append(Large(file.path, digest))
        return found

    def _sizes(self, repository: Repository, ids: Sequence[str]) -> list[int | None]:
        """Sizes of objects, None for those that are not there."""
        if not ids:
            return []
        lines = self._feed(repository, "--batch-check=%(objectsize)", ids).splitlines()
        return [int(line) if line.isdigit() else None for line in lines]

    def _contents(
        self, repository: Repository, objects: Sequence[tuple[str, int]]
    ) -> Iterator[bytes]:
        """Contents of objects of known sizes."""
        if not objects:
            return
        answer = self._feed(repository, "--batch=%(objectsize)", [name for name, _ in objects])
        at = 0
        for _, size in objects:
            at = answer.index(b"\n", at) + 1
            yield answer[at : at + size]
            at += size + 1

    def _feed(self, repository: Repository, format_: str, ids: Sequence[str]) -> bytes:
        call = Git(repository.git_dir, "cat-file", format_, stdin=PIPE)
        return succeed(call, self._left(), "".join(f"{name}\n" for name in ids).encode())

    def _ask(self, repository: Repository, *arguments: str, filters: Sequence[str] = ()) -> bytes:
        return succeed(ask(repository, *arguments, filters=filters), self._left())

    def _left(self) -> float:
        return self._deadline - time.monotonic()


def _content(change: Change, before: dict[bytes, Committed]) -> Committed | None:
    return before.get(change.path) if change.is_unmerged else change.committed


def _has_size(path: Path, size: int) -> bool:
    found = path.lstat()
    return stat.S_ISREG(found.st_mode) and found.st_size == size


def _is_ours(path: bytes) -> bool:
    return path.startswith(os.fsencode(STORE_NAME) + b"/")


def shown(path: bytes) -> str:
    """`path` for people."""
    return printable(os.fsdecode(path))
