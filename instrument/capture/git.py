"""Asking git, as a child process, without running anything that a repository brings along.

A repository's own configuration can name commands: a file-system monitor, hooks, external diffs,
text conversions, filters, transports. All are switched off here; git's check of a repository's
owner (``safe.directory``) stays on. git never goes into submodules by itself: each is asked as a
repository of its own, with its own filters switched off.
"""

import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import Final, NamedTuple, Self

from instrument.capture.repository import Repository

_OVERRIDES: Final = {
    "core.fsmonitor": "",
    "core.hooksPath": os.devnull,
    "core.splitIndex": "false",
    "diff.external": "",
    "protocol.allow": "never",
    "submodule.recurse": "false",
}
_ENVIRONMENT: Final = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "LC_ALL": "C",
}
_MISLEADING: Final = (
    # Set inside hooks or by hand; they would point at another repository than the code's own,
    # or change what git answers.
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_EXTERNAL_DIFF",
    "GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS",
    "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_DIFF_OPTS", "GIT_ATTR_SOURCE", "GIT_CONFIG",
)  # fmt: skip
_FILTER = re.compile(rb"^filter\.(.+)\.[^.]+$", re.DOTALL)
_VERSION = re.compile(rb"git version (\d+)\.(\d+)")
_FIRST_WITH_CONFIG_COUNT: Final = (2, 31)
_DYING_SECONDS: Final = 1.0
"""For a killed git to be gone; one that hangs in the file system is not waited for."""

_starting: Final = threading.RLock()
"""A worker that another thread forks meanwhile would hold git's ends of the pipes, and while it
lives git's answers would have no end. So a fork waits until git is started."""
os.register_at_fork(
    before=_starting.acquire, after_in_parent=_starting.release, after_in_child=_starting.release
)


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


class Git:
    """A git command that has been started; leaving its block stops it.

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
        with _starting:
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
        except TimeoutExpired as late:
            ended = self._child.poll() is not None
            self.stop()
            if not ended:
                raise TimeoutError("git took too long") from None
            # git has answered; what it left behind in the background holds its pipes.
            out, error = late.output or b"", late.stderr or b""
        lines = error.decode(errors="replace").splitlines() or [""]
        return Output(self._child.returncode, out, lines[0].removeprefix("fatal: "))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Kill it and what it waits for, if it still runs. Idempotent."""
        if self._child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, SIGKILL)
            with suppress(TimeoutExpired):
                self._child.wait(_DYING_SECONDS)
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is not None:
                with suppress(OSError):  # what was never sent cannot be any more
                    pipe.close()


def ask(repository: Repository, *arguments: str, filters: Sequence[str] = ()) -> Git:
    """Start to ask about `repository`; its configuration cannot move the working tree elsewhere.

    Raises:
        OSError: git is not there, or cannot be started.
    """
    if repository.root is None:
        return Git(repository.git_dir, *arguments, filters=filters)
    environment = {"GIT_WORK_TREE": str(repository.root)}
    return Git(repository.root, *arguments, filters=filters, environment=environment)


def succeed(call: Git, limit_seconds: float, feed: bytes | None = None) -> bytes:
    """What `call` prints.

    Raises:
        OSError: It failed, or took longer than `limit_seconds`.
    """
    answer = call.output(limit_seconds, feed)
    if answer.code:
        raise OSError(f"git failed: {answer.error[:200] or f'exit code {answer.code}'}")
    return answer.out


def own_filters(repository: Repository, limit_seconds: float) -> tuple[str, ...]:
    """Names of the filters that the repository itself defines (the user's own are trusted).

    Raises:
        OSError: git cannot be asked, or is too old to leave such filters alone.
    """
    names: set[str] = set()
    for config in _suspects(repository):
        query = ("config", "--file", str(config), "--includes", "--name-only", "-z")
        where = {"GIT_DIR": str(repository.git_dir)}  # for `includeIf`
        call = Git(repository.git_dir, *query, "--get-regexp", r"^filter\.", environment=where)
        matches = map(_FILTER.match, call.output(limit_seconds).out.split(b"\0"))
        names.update(os.fsdecode(match[1]) for match in matches if match)
    if names and _version(limit_seconds) < _FIRST_WITH_CONFIG_COUNT:
        raise OSError("this git is too old to pass over the filters that the repository defines")
    return tuple(sorted(names))


def _version(limit_seconds: float) -> tuple[int, int]:
    match = _VERSION.match(Git(Path("/"), "version").output(limit_seconds).out)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _suspects(repository: Repository) -> Iterator[Path]:
    """Configuration files of the repository that may define a filter."""
    for config in (repository.common_dir / "config", repository.git_dir / "config.worktree"):
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
