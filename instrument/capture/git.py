"""Asking git, as a child process, without running anything that a repository brings along.

A repository's own configuration can name commands: a file-system monitor, hooks, external diffs,
text conversions, filters, transports. All are switched off here; git's check of a repository's
owner (``safe.directory``) stays on.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import Final, NamedTuple

_OVERRIDES: Final = {
    "core.fsmonitor": "",
    "core.hooksPath": os.devnull,
    "core.splitIndex": "false",
    "diff.external": "",
    "protocol.allow": "never",
}
_ENVIRONMENT: Final = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "LC_ALL": "C",
}
_MISLEADING: Final = (
    # Set inside hooks; they would point at another repository than the code's own.
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_EXTERNAL_DIFF",
)  # fmt: skip
_FILTER = re.compile(rb"^filter\.(.+)\.[^.]+$", re.DOTALL)


class Output(NamedTuple):
    """What git answered.

    Attributes:
        code: Exit code.
        out: Standard output.
        error: First line of standard error.
    """

    code: int
    out: bytes
    error: str


class Repository(NamedTuple):
    """Where a repository lies, found without running git.

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


class Head(NamedTuple):
    """What HEAD says.

    Attributes:
        commit: Full id, or None before the first commit.
        branch: Branch, or None when HEAD is detached.
    """

    commit: str | None
    branch: str | None


class Git:
    """A git command that has been started.

    Args:
        directory: Where it works.
        arguments: Its arguments.
        filters: Names of filters that must not run.
        environment: More variables.
        stdin: A file with its input.

    Raises:
        OSError: git is not there, or cannot be started.
    """

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        filters: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        stdin: int = DEVNULL,
    ) -> None:
        overrides = [part for pair in _OVERRIDES.items() for part in ("-c", "=".join(pair))]
        self._child = Popen(
            ["git", *overrides, "--no-optional-locks", "-C", str(directory), *arguments],
            stdin=stdin,
            stdout=PIPE,
            stderr=PIPE,
            env=_environment(filters) | dict(environment or {}),
            start_new_session=True,  # the user's Ctrl-C is not for git
        )

    def output(self, limit_seconds: float, feed: bytes | None = None) -> Output:
        """Wait for the answer.

        Args:
            limit_seconds: Then git is killed.
            feed: Its input, when it was started with a pipe for it.

        Raises:
            TimeoutError: It took longer than `limit_seconds`.
        """
        try:
            out, error = self._child.communicate(feed, timeout=max(limit_seconds, 0))
        except TimeoutExpired:
            self.stop()
            raise TimeoutError(f"git took longer than {limit_seconds:g} seconds") from None
        lines = error.decode(errors="replace").splitlines() or [""]
        return Output(self._child.returncode, out, lines[0].removeprefix("fatal: "))

    def stop(self) -> None:
        """Kill it, if it still runs. Idempotent."""
        self._child.kill()
        self._child.communicate()


def find_repository(directory: Path) -> Repository | None:
    """The repository around `directory`, found the way git finds it."""
    for candidate in (directory, *directory.parents):
        marker = candidate / ".git"
        if marker.is_dir():
            return Repository(marker, candidate)
        if marker.is_file() and (target := _git_file(marker)) is not None:
            return Repository(target, candidate)
        if all((candidate / name).exists() for name in ("HEAD", "objects", "refs")):
            return Repository(candidate, None)
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
    commits = (_loose(repository, reference), _packed(repository, reference))
    commit = next((commit for commit in commits if commit), None)
    return Head(commit, reference.removeprefix("refs/heads/"))


def own_filters(repository: Repository, limit_seconds: float) -> tuple[str, ...]:
    """Names of the filters that the repository itself defines (the user's own are trusted)."""
    names: set[str] = set()
    for config in _suspects(repository):
        query = ("config", "--file", str(config), "--includes", "--name-only", "-z")
        found = Git(repository.git_dir, *query, "--get-regexp", r"^filter\.").output(limit_seconds)
        matches = map(_FILTER.match, found.out.split(b"\0"))
        names.update(os.fsdecode(match[1]) for match in matches if match)
    return tuple(sorted(names))


def _suspects(repository: Repository) -> Iterator[Path]:
    """Configuration files of the repository and its submodules that may define a filter."""
    common = repository.common_dir
    modules = common / "modules"
    candidates = [common / "config", repository.git_dir / "config.worktree"]
    if modules.is_dir():
        candidates += sorted(modules.rglob("config"))
    for config in candidates:
        try:
            text = config.read_bytes().lower()
        except OSError:
            continue
        if b"[filter" in text or b"[include" in text:
            yield config


def _environment(filters: Sequence[str]) -> dict[str, str]:
    """The user's environment, made safe; `filters` are switched off."""
    environment = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    environment |= _ENVIRONMENT
    try:
        count = int(environment.get("GIT_CONFIG_COUNT", "0"))
    except ValueError:
        count = 0
    for name in filters:
        for key, value in (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false")):
            environment[f"GIT_CONFIG_KEY_{count}"] = f"filter.{name}.{key}"
            environment[f"GIT_CONFIG_VALUE_{count}"] = value
            count += 1
    if filters:
        environment["GIT_CONFIG_COUNT"] = str(count)
    return environment


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
