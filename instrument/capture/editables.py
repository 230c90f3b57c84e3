"""The state of the repositories from which packages are installed as editable."""

from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from instrument.capture.code import begin_code, code_directory
from instrument.capture.packages import sources
from instrument.capture.repository import Repository, find_repository

MAX_REPOSITORIES: Final = 8
LIMIT_SECONDS: Final = 2.0


def editables() -> dict[str, Any]:
    """Commit, branch and whether anything differs, by name of the distribution.

    A package of the repository whose state the run has anyway is marked as ``with_code``. Where git
    tells nothing, ``git`` is None and ``reason`` says why.
    """
    code = find_repository(code_directory())
    states: dict[Repository, dict[str, Any]] = {}
    known: dict[str, Any] = {}
    for name, source in sources().items():
        directory = _directory(source["url"]) if source["editable"] else None
        if directory is None:
            continue
        repository = find_repository(directory)
        if repository is not None and repository == code:
            known[name] = {"with_code": True}
        elif repository is None:
            known[name] = {"git": None, "reason": "it is not in a git repository"}
        else:
            known[name] = _state_once(repository, states)
    return known


def _state_once(repository: Repository, states: dict[Repository, dict[str, Any]]) -> dict[str, Any]:
    if repository not in states:
        if len(states) == MAX_REPOSITORIES:
            return {"git": None, "reason": f"only {MAX_REPOSITORIES} repositories are asked"}
        states[repository] = _state(repository)
    return states[repository]


def _state(repository: Repository) -> dict[str, Any]:
    reading = begin_code(
        repository.root or repository.git_dir, commit=None, limit_seconds=LIMIT_SECONDS
    )
    code = reading.finish()
    told = {"git": msgspec.to_builtins(code.git)}
    return told if code.reason is None else {**told, "reason": code.reason}


def _directory(url: str) -> Path | None:
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None
