"""The state of the user's code: commit, branch, whether anything differs, and how."""

import os
import site
import sys
import threading
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from instrument.capture.git import Git, Output, ask, own_filters
from instrument.capture.origin import GIVEN, from_environment
from instrument.capture.repository import Repository, find_repository, read_head
from instrument.capture.status import ARGUMENTS, Status, parse_status
from instrument.records import CodeCaptured
from instrument.redaction import printable
from instrument.vocabulary import EnvironmentCaptureLevel, GitState

STATUS_LIMIT_SECONDS: Final = 2.0
WHOLE_LIMIT_SECONDS: Final = 8.0
"""Shorter than the run waits for the background at its end: it comes to a word of its own."""
REUSE_SECONDS: Final = 2.0
_SUBMODULES_PENDING: Final = "whether a submodule differs is read in the background"


class Kept(NamedTuple):
    """All about the code, with what is to be stored beside the record.

    Attributes:
        code: The record, still without digests.
        objects: Content by the field of the record that gets its digest.
    """

    code: CodeCaptured
    objects: dict[str, bytes]


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
    command: Sequence[str] | None = None,
) -> "CodeReading":
    """Start to ask git about `directory` and return at once. Never raises.

    A reading of the same directory that is younger than `REUSE_SECONDS` is used again.

    Args:
        directory: Any directory of the working tree.
        commit: The commit, for code that comes without its repository (INSTRUMENT_GIT_COMMIT).
        level: From STANDARD on there is more to `CodeReading.complete`.
        limit_seconds: How long git may take for its status.
        command: The command that is recorded, when that is another process than this one.
    """
    key = (os.getpid(), directory, commit, level, limit_seconds, command and tuple(command))
    known = _recent.get(key)
    if known is None or time.monotonic() - known.began_at > REUSE_SECONDS:
        _recent.clear()
        known = _recent[key] = CodeReading(directory, commit, level, limit_seconds, command)
    return known


class CodeReading:
    """A question to git that is under way; see `begin_code`.

    Attributes:
        began_at: When it was asked, by the monotonic clock.
    """

    def __init__(
        self,
        directory: Path,
        commit: str | None,
        level: int,
        limit_seconds: float,
        command: Sequence[str] | None = None,
    ) -> None:
        self.began_at = time.monotonic()
        self._directory = directory
        self._given_commit = commit
        self._level = level
        self._limit_seconds = limit_seconds
        self._command = command
        self._lock = threading.RLock()
        self._code: CodeCaptured | None = None
        self._status: Status | None = None
        self._kept: Kept | None = None
        self._filters: tuple[str, ...] = ()
        self._call: Git | None = None
        self._failure: OSError | None = None
        self._repository: Repository | None = None
        self._may_have_submodules = False
        try:
            self._repository = find_repository(Path(os.path.realpath(directory)))
            if self._repository is not None:
                self._filters = own_filters(self._repository, limit_seconds)
                self._call = ask(self._repository, *ARGUMENTS, filters=self._filters)
                self._may_have_submodules = self._repository.may_have_submodules  # meanwhile
        except OSError as error:  # TimeoutError is one
            self._failure = error

    def finish(self) -> CodeCaptured:
        """Wait for git's status and say what it said; the time limit holds. Idempotent."""
        with self._lock:
            if self._code is None:
                self._code = self._read()
            return self._code

    def is_whole(self) -> bool:
        """Whether `finish`, which it waits for, says all there is."""
        code, is_basic = self.finish(), self._level < EnvironmentCaptureLevel.STANDARD
        if self._repository is None:
            return is_basic
        if self._status is None or code.git is None:
            return True
        return is_basic and not self._may_have_submodules

    def complete(self, *, limit_seconds: float = WHOLE_LIMIT_SECONDS) -> Kept | None:
        """The rest: what takes git longer, and what differs from the commit. Idempotent.

        Takes a while: for a background thread. Never raises for what git does.

        Args:
            limit_seconds: How long it may take.

        Returns:
            All about the code; None when `finish` has said all there is.
        """
        code = self.finish()
        with self._lock:
            if self._kept is None:
                self._kept = self._complete(code, time.monotonic() + limit_seconds)
            return self._kept if self._kept != Kept(code, {}) else None

    def _complete(self, code: CodeCaptured, deadline: float) -> Kept:
        if self.is_whole():
            return Kept(code, {})
        repository, status = self._repository, self._status
        if repository is None or status is None or code.git is None:
            return self._keep_script(code)
        from instrument.capture.changes import Asked
        from instrument.capture.kept import keep_repository

        asked = Asked(repository, status, self._filters)
        state, reasons, objects = keep_repository(
            asked, code.git, level=self._level, deadline=deadline
        )
        return Kept(_captured(state, self._filters_reason(), *reasons), objects)

    def _keep_script(self, code: CodeCaptured) -> Kept:
        from instrument.capture.kept import keep_script

        objects, why = keep_script(self._directory, self._command)
        reason = "; ".join(filter(None, (code.reason, why)))
        return Kept(msgspec.structs.replace(code, reason=reason), objects)

    def _read(self) -> CodeCaptured:
        repository = self._repository
        if repository is None:
            return self._without_repository()
        try:
            answer = self._answer()
            if answer.code:
                return _without_status(repository, _refusal(answer, repository))
            status = self._status = parse_status(answer.out)
        except OSError as error:
            return _without_status(repository, _why(error))
        dirty = True if status.changes else None if self._may_have_submodules else False
        git = GitState(
            commit=status.commit,
            branch=status.branch,
            dirty=dirty,
            root=_name(repository),
            detached=status.branch is None,
            upstream=status.upstream,
            ahead=status.ahead,
            behind=status.behind,
        )
        pending = _SUBMODULES_PENDING if dirty is None else None
        return _captured(git, self._filters_reason(), pending)

    def _answer(self) -> Output:
        if self._failure is not None or self._call is None:
            raise self._failure or OSError("git was not asked")
        try:
            return self._call.output(self.began_at + self._limit_seconds - time.monotonic())
        except TimeoutError:
            limit = f"{self._limit_seconds:g} seconds"
            raise TimeoutError(f"git status took longer than {limit}") from None

    def _without_repository(self) -> CodeCaptured:
        git = from_environment(self._given_commit)
        if git is not None:
            why = f"the commit is that of {git.source}, what differs from it is unknown"
            return CodeCaptured(git=git, reason=f"the code is not in a git repository: {why}")
        if self._given_commit:
            given = f"{GIVEN} is {self._given_commit!r:.80}, which is not a commit id"
            return CodeCaptured(
                git=None, reason=f"the code is not in a git repository, and {given}"
            )
        why = f"cannot be read: {self._failure}" if self._failure else "is not in a git repository"
        return CodeCaptured(git=None, reason=f"the code {why}")

    def _filters_reason(self) -> str | None:
        if not self._filters:
            return None
        names = ", ".join(self._filters)
        return f"filters that the repository itself defines were not run: {printable(names)}"


def _captured(git: GitState, *reasons: str | None) -> CodeCaptured:
    return CodeCaptured(git=git, reason="; ".join(filter(None, reasons)) or None)


def _without_status(repository: Repository, reason: str) -> CodeCaptured:
    """What the files of the repository say by themselves."""
    head = read_head(repository)
    if head is None:
        return CodeCaptured(git=None, reason=reason)
    git = GitState(
        commit=head.commit,
        branch=head.branch,
        dirty=None,
        root=_name(repository),
        source="files",
        detached=head.branch is None,
    )
    return CodeCaptured(git=git, reason=reason)


@cache
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


_recent: dict[tuple[object, ...], CodeReading] = {}
