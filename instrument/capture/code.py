"""The state of the user's code: commit, branch, whether anything differs, and how."""

import os
import re
import site
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from instrument.capture.git import (
    Git,
    Output,
    Repository,
    find_repository,
    own_filters,
    read_head,
)
from instrument.capture.status import ARGUMENTS, Status, parse_status
from instrument.records import CodeCaptured
from instrument.redaction import printable, redact_url
from instrument.vocabulary import EnvironmentCaptureLevel, GitState

if TYPE_CHECKING:
    from instrument.capture.patch import Patch

STATUS_LIMIT_SECONDS: Final = 2.0
REUSE_SECONDS: Final = 2.0
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_REMOTE_URLS: Final = ("config", "-z", "--get-regexp", r"^remote\..*\.url$")


def code_directory() -> Path:
    """Where the user's code is: beside the running script, else the working directory.

    A script that belongs to the Python installation (pytest, a Jupyter kernel) is a launcher: the
    code is in the working directory then.
    """
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if script:
        directory = Path(os.path.realpath(script)).parent
        if directory.is_dir() and not _is_of_installation(directory):
            return directory
    try:
        return Path.cwd()
    except OSError:  # it was removed; asking git about it tells so
        return Path(os.curdir)


def begin_code(
    directory: Path,
    *,
    commit: str | None,
    level: int = EnvironmentCaptureLevel.STANDARD,
    limit_seconds: float = STATUS_LIMIT_SECONDS,
) -> "CodeReading":
    """Start to ask git about `directory` and return at once. Never raises.

    A reading of the same directory that is younger than `REUSE_SECONDS` is used again.

    Args:
        directory: Any directory of the working tree.
        commit: The commit, for code that comes without its repository (INSTRUMENT_GIT_COMMIT).
        level: From STANDARD on the remote is asked for too.
        limit_seconds: How long git may take for its status.
    """
    key = (os.getpid(), directory, commit, level, limit_seconds)
    known = _recent.get(key)
    if known is None or time.monotonic() - known.began_at > REUSE_SECONDS:
        _recent.clear()
        known = _recent[key] = CodeReading(directory, commit, level, limit_seconds)
    return known


class CodeReading:
    """A question to git that is under way; see `begin_code`.

    Attributes:
        began_at: When it was asked, by the monotonic clock.
    """

    def __init__(
        self, directory: Path, commit: str | None, level: int, limit_seconds: float
    ) -> None:
        self.began_at = time.monotonic()
        self._given_commit = commit
        self._limit_seconds = limit_seconds
        self._lock = threading.RLock()
        self._code: CodeCaptured | None = None
        self._status: Status | None = None
        self._patch: Patch | None = None
        self._filters: tuple[str, ...] = ()
        self._calls: list[Git] = []
        self._failure: OSError | None = None
        self._repository: Repository | None = None
        try:
            place = Path(os.path.realpath(directory))
            self._repository = find_repository(place)
            if self._repository is not None:
                self._ask(place, self._repository, level)
        except OSError as error:  # TimeoutError is one
            self._failure = error

    def finish(self) -> CodeCaptured:
        """Wait for git and say what it said; the time limit holds. Idempotent."""
        with self._lock:
            if self._code is None:
                self._code = self._read()
            return self._with_patch_reason(self._code)

    def patch(self) -> bytes | None:
        """What differs from the commit, for ``git apply``; untracked files are part of it.

        None when nothing differs or git could not tell. What was left out stands in the reason that
        `finish` gives afterwards. Takes a while: for a background thread.
        """
        self.finish()
        with self._lock:
            repository, status = self._repository, self._status
            if self._patch is None and repository is not None and status is not None:
                from instrument.capture.patch import make_patch

                self._patch = make_patch(repository, status, self._filters)
            return self._patch.data if self._patch else None

    def _ask(self, directory: Path, repository: Repository, level: int) -> None:
        """Start the calls; they run side by side."""
        self._filters = own_filters(repository, self._limit_seconds)
        self._calls = [Git(directory, *ARGUMENTS, filters=self._filters)]
        if level >= EnvironmentCaptureLevel.STANDARD:
            self._calls.append(Git(directory, *_REMOTE_URLS))

    def _read(self) -> CodeCaptured:
        repository = self._repository
        if repository is None:
            return self._without_repository()
        try:
            answers = self._answers()
            if answers[0].code:
                return self._without_status(repository, _refusal(answers[0], repository))
        except OSError as error:
            return self._without_status(repository, _why(error))
        status = self._status = parse_status(answers[0].out)
        remote = _remote(answers[1].out) if len(answers) > 1 and not answers[1].code else None
        git = GitState(
            commit=status.commit,
            branch=status.branch,
            dirty=bool(status.changes),
            remote=remote,
            root=_name(repository),
        )
        return CodeCaptured(git=git, reason=self._filters_reason())

    def _answers(self) -> list[Output]:
        if self._failure is not None:
            raise self._failure
        deadline = time.monotonic() + self._limit_seconds
        try:
            return [call.output(deadline - time.monotonic()) for call in self._calls]
        except OSError:
            for call in self._calls:
                call.stop()
            raise

    def _without_repository(self) -> CodeCaptured:
        commit = self._given_commit
        if not commit:
            why = (
                f"cannot be read: {self._failure}"
                if self._failure
                else "is not in a git repository"
            )
            return CodeCaptured(git=None, reason=f"the code {why}")
        if not _COMMIT.fullmatch(commit):
            reason = f"not in a git repository, and {commit!r:.80} is not a commit id"
            return CodeCaptured(git=None, reason=reason)
        git = GitState(commit=commit, branch=None, dirty=None)
        reason = "not in a git repository: the commit was given, what differs from it is unknown"
        return CodeCaptured(git=git, reason=reason)

    def _without_status(self, repository: Repository, reason: str) -> CodeCaptured:
        """What the files of the repository say by themselves."""
        head = read_head(repository)
        if head is None:
            return CodeCaptured(git=None, reason=reason)
        git = GitState(commit=head.commit, branch=head.branch, dirty=None, root=_name(repository))
        return CodeCaptured(git=git, reason=reason)

    def _filters_reason(self) -> str | None:
        if not self._filters:
            return None
        names = ", ".join(self._filters)
        return f"filters that the repository itself defines were not run: {printable(names)}"

    def _with_patch_reason(self, code: CodeCaptured) -> CodeCaptured:
        if self._patch is None or self._patch.reason is None:
            return code
        reason = "; ".join(filter(None, (code.reason, self._patch.reason)))
        return CodeCaptured(git=code.git, reason=reason, patch=code.patch)


def _is_of_installation(directory: Path) -> bool:
    """Whether `directory` holds programs and libraries, not somebody's project."""
    if {"site-packages", "dist-packages"} & set(directory.parts):
        return True
    library = Path(os.path.realpath(os.__file__)).parent
    programs = [Path(os.path.realpath(base)) / "bin" for base in (sys.prefix, site.getuserbase())]
    ours = Path(os.path.realpath(__file__)).parents[1]  # `python -m instrument` in a checkout
    return directory in {*programs, ours} or directory.is_relative_to(library)


def _refusal(answer: Output, repository: Repository) -> str:
    """Why git gave no status."""
    if "dubious ownership" in answer.error:
        where = repository.root or repository.git_dir
        return printable(
            f"git refuses {where} because another user owns it; "
            f"git config --global --add safe.directory {where}"
        )
    if repository.root is None:
        return "the repository is bare: there is no working tree that could differ"
    return f"git status failed: {answer.error[:200] or f'exit code {answer.code}'}"


def _why(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "git is not installed: only its files were read"
    return str(error)


def _name(repository: Repository) -> str | None:
    root = repository.root
    return printable(Path(os.path.realpath(root)).name) if root is not None else None


def _remote(output: bytes) -> str | None:
    """The URL of ``origin``, else of the first remote, without credentials."""
    pairs = (item.partition("\n") for item in output.decode(errors="replace").split("\0") if item)
    urls = {key: redact_url(url) for key, _, url in pairs}
    return urls.get("remote.origin.url") or next(iter(urls.values()), None)


_recent: dict[tuple[int, Path, str | None, int, float], CodeReading] = {}
