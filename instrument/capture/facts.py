"""What a repository says about itself beyond its status: remotes, tags, submodules, Git LFS."""

import os
import stat
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from instrument.capture.changes import Tree, shown
from instrument.capture.git import Git, ask, succeed
from instrument.capture.listing import LFS_ARGUMENTS, POINTER_MAX_BYTES, pointed_to
from instrument.capture.repository import Repository
from instrument.redaction import redact_url
from instrument.vocabulary import Submodule


class Facts:
    """A question about a repository that is under way; leaving its block stops it.

    Args:
        repository: The repository.
        deadline: When git must be done, by the monotonic clock.

    Raises:
        OSError: git cannot be started.
    """

    def __init__(self, repository: Repository, deadline: float) -> None:
        self._repository = repository
        self._deadline = deadline
        self._tags: Git | None = None
        self._describe: Git | None = None
        if repository.may_have_tags:
            names = ("for-each-ref", "--format=%(refname:strip=2)", "--points-at=HEAD", "refs/tags")
            self._tags = ask(repository, *names)
            self._describe = ask(repository, "describe", "--tags", "--long")

    def read(self, trees: Sequence[Tree]) -> tuple[dict[str, Any], list[str]]:
        """Fields of `GitState`, and why some are not known.

        Args:
            trees: The repository and those inside it.
        """
        outermost = trees[0]
        found: dict[str, Any] = {
            "remotes": remotes(outermost.settings),
            "remote": remote(outermost.settings),
            "submodules": _submodules(trees),
            "worktree": self._repository.worktree,
            "operation": self._repository.operation,
            "shallow": self._repository.is_shallow,
        }
        unknown = []
        for names, fields in (
            ("tags", self._read_tags),
            ("files of Git LFS", lambda: self._read_lfs(outermost)),
        ):
            try:
                found |= fields()
            except OSError as error:
                unknown.append(f"{names} are not known: {error}")
        return found, unknown

    def _read_tags(self) -> dict[str, Any]:
        if self._tags is None or self._describe is None:
            return {"tags": (), "describe": None}
        tags = succeed(self._tags, self._left()).decode(errors="backslashreplace")
        nearest = self._describe.output(self._left()).out  # fails where no tag comes before
        described = nearest.decode(errors="backslashreplace").strip()
        return {"tags": tuple(tags.splitlines()), "describe": described or None}

    def _read_lfs(self, tree: Tree) -> dict[str, Any]:
        root = tree.repository.root
        if root is None or b"filter=lfs" not in tree.listing.attributes(root):
            return {"lfs_files": 0, "lfs_pointers": 0}
        listed = succeed(ask(tree.repository, *LFS_ARGUMENTS), self._left())
        paths = [path for path in listed.split(b"\0") if path]
        pointers = sum(_is_pointer(root / os.fsdecode(path)) for path in paths)
        return {"lfs_files": len(paths), "lfs_pointers": pointers}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for call in (self._tags, self._describe):
            if call is not None:
                call.stop()

    def _left(self) -> float:
        return self._deadline - time.monotonic()


def remotes(settings: Mapping[str, str]) -> dict[str, str]:
    """URL of each remote by its name, without credentials."""
    urls = {name: url for name, url in settings.items() if name.startswith("remote.")}
    return {
        name.removeprefix("remote.").removesuffix(".url"): redact_url(url)
        for name, url in urls.items()
    }


def remote(settings: Mapping[str, str]) -> str | None:
    """The URL of ``origin``, else of the first remote, without credentials."""
    found = remotes(settings)
    return found.get("origin") or next(iter(found.values()), None)


def _submodules(trees: Sequence[Tree]) -> tuple[Submodule, ...]:
    """All repositories inside the outermost, those that are not checked out included."""
    here = {
        tree.path: Submodule(
            path=shown(tree.path),
            commit=tree.status.commit,
            dirty=tree.is_dirty,
            is_registered=tree.is_registered,
        )
        for tree in trees[1:]
    }
    for tree in trees:
        prefix = tree.path + b"/" if tree.path else b""
        for path, commit in tree.listing.gitlinks:
            absent = Submodule(path=shown(prefix + path), commit=commit, dirty=None)
            here.setdefault(prefix + path, absent)
    return tuple(here[path] for path in sorted(here))


def _is_pointer(path: Path) -> bool:
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > POINTER_MAX_BYTES:
            return False
        return pointed_to(path.read_bytes()) is not None
    except OSError:
        return False
