"""Commit, branch and dirt of the running script's repository, whatever the working directory is.

What is unknown is None, never a word and never "clean"; why is told once on stderr, and stands in
``git_reason`` of what the loader measures.
"""

import os
from pathlib import Path
from typing import Final

from instrument import settings
from instrument.capture.code import STATUS_LIMIT_SECONDS, CodeReading, code_directory
from instrument.capture.git import ask, succeed
from instrument.capture.repository import find_repository
from instrument.guard import say
from instrument.records import CodeCaptured
from instrument.vocabulary import EnvironmentCaptureLevel

_SHORT: Final = 12
_told: Final[set[str]] = set()


def get_git_sha(short: bool = False) -> str | None:
    """The commit that is checked out, or None where it is not known.

    Args:
        short: As short as git itself would write it; 12 digits where git cannot be asked.
    """
    code = read_code()
    commit = code.git.commit if code.git is not None else None
    _tell(code, "commit", commit)
    return _shortened(commit) if short and commit is not None else commit


def get_git_branch() -> str | None:
    """The branch; None where HEAD is detached, or where it is not known."""
    code = read_code()
    branch = code.git.branch if code.git is not None else None
    if code.git is None or not code.git.detached:
        _tell(code, "branch", branch)
    return branch


def check_git_dirty() -> bool | None:
    """Whether anything differs from the commit, untracked files included; None: not known."""
    code = read_code()
    dirty = code.git.dirty if code.git is not None else None
    _tell(code, "state of the code", dirty)
    return dirty


def read_code() -> CodeCaptured:
    """What git says now; never raises."""
    given = settings.resolve().git_commit
    directory = code_directory()
    reading = CodeReading(directory, given, EnvironmentCaptureLevel.BASIC, STATUS_LIMIT_SECONDS)
    whole = reading.complete()
    return whole.code if whole is not None else reading.finish()


def _tell(code: CodeCaptured, what: str, value: object) -> None:
    if value is None:
        message = f"the git {what} is unknown: {code.reason or 'there is no commit yet'}"
        if message not in _told:
            _told.add(message)
            say(message)


def _shortened(commit: str) -> str:
    try:
        repository = find_repository(Path(os.path.realpath(code_directory())))
        if repository is not None:
            call = ask(repository, "rev-parse", "--short", commit)
            return succeed(call, STATUS_LIMIT_SECONDS).decode().strip()
    except OSError:
        pass
    return commit[:_SHORT]
