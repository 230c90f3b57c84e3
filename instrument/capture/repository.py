"""Where a repository lies and what its files say, found without running git."""

import re
from pathlib import Path
from typing import Final, NamedTuple

_OPERATIONS: Final = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}
_GITLINK_MODE: Final = b"\0\0\xe0\0"


class Repository(NamedTuple):
    """Where a repository lies.

    Attributes:
        git_dir: Its ``.git`` directory (of the worktree, where there are several).
        root: The working tree; None for a bare repository.
    """

    git_dir: Path
    root: Path | None

    @property
    def common_dir(self) -> Path:
        """What all worktrees share: configuration, objects and branches."""
        try:
            return self.git_dir / (self.git_dir / "commondir").read_text().strip()
        except (OSError, ValueError):
            return self.git_dir

    @property
    def objects(self) -> Path:
        """Where its objects are."""
        return self.common_dir / "objects"

    @property
    def worktree(self) -> str | None:
        """``main``, or ``linked`` for one made by ``git worktree add``; None for a bare one."""
        if self.root is None:
            return None
        return "linked" if (self.git_dir / "commondir").exists() else "main"

    @property
    def is_shallow(self) -> bool:
        """Whether its history is cut off."""
        return (self.common_dir / "shallow").exists()

    @property
    def operation(self) -> str:
        """What it is in the middle of, such as ``merge`` or ``rebase``; else ``none``."""
        found = (name for file, name in _OPERATIONS.items() if (self.git_dir / file).exists())
        return next(found, "none")

    @property
    def may_have_tags(self) -> bool:
        """False only when there is no tag for sure."""
        common = self.common_dir
        try:
            packed = (common / "packed-refs").read_bytes()
        except OSError:
            packed = b""
        has_loose = (common / "refs" / "tags").is_dir() and any((common / "refs/tags").iterdir())
        return has_loose or b" refs/tags/" in packed or (common / "reftable").exists()

    @property
    def may_have_submodules(self) -> bool:
        """False only when no repository is registered inside this one for sure."""
        indexes = (self.git_dir / "index", *self.git_dir.glob("sharedindex.*"))
        return any(index.exists() and _GITLINK_MODE in index.read_bytes() for index in indexes)


class Head(NamedTuple):
    """What HEAD says.

    Attributes:
        commit: Full id, or None before the first commit.
        branch: Branch, or None when HEAD is detached.
    """

    commit: str | None
    branch: str | None


def find_repository(directory: Path) -> Repository | None:
    """The repository around `directory`, found the way git finds it."""
    found = map(repository_at, (directory, *directory.parents))
    return next(filter(None, found), None)


def repository_at(directory: Path) -> Repository | None:
    """The repository whose root `directory` is."""
    marker = directory / ".git"
    if marker.is_dir():
        return Repository(marker, directory)
    if marker.is_file() and (target := _git_file(marker)) is not None:
        return Repository(target, directory)
    if all((directory / name).exists() for name in ("HEAD", "objects", "refs")):
        return Repository(directory, None)
    return None


def read_head(repository: Repository) -> Head | None:
    """HEAD as its files say, for when git itself cannot be asked; None if they say nothing."""
    try:
        head = (repository.git_dir / "HEAD").read_text().strip()
    except (OSError, ValueError):
        return None
    if not head.startswith("ref: "):
        return Head(head, None) if _is_commit(head) else None
    reference = head.removeprefix("ref: ")
    if reference == "refs/heads/.invalid":  # the references lie in a table that only git reads
        return None
    commits = (_loose(repository, reference), _packed(repository, reference))
    commit = next((commit for commit in commits if commit), None)
    return Head(commit, reference.removeprefix("refs/heads/"))


def _git_file(marker: Path) -> Path | None:
    """Where a ``.git`` file (of a worktree or a submodule) points."""
    try:
        text = marker.read_text()
    except (OSError, ValueError):
        return None
    target = marker.parent / text.removeprefix("gitdir:").strip()
    return target if text.startswith("gitdir:") and target.is_dir() else None


def _loose(repository: Repository, reference: str) -> str | None:
    for directory in (repository.git_dir, repository.common_dir):
        try:
            commit = (directory / reference).read_text().strip()
        except (OSError, ValueError):
            continue
        if _is_commit(commit):
            return commit
    return None


def _packed(repository: Repository, reference: str) -> str | None:
    try:
        packed = (repository.common_dir / "packed-refs").read_text()
    except (OSError, ValueError):
        return None
    match = re.search(rf"^([0-9a-f]{{40,64}}) {re.escape(reference)}$", packed, re.MULTILINE)
    return match[1] if match else None


def _is_commit(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text) is not None
