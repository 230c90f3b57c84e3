"""The commit of code that comes without its repository: as given, or as the CI system says."""

import os
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from instrument.redaction import printable, redact_url
from instrument.vocabulary import GitState

GIVEN: Final = "INSTRUMENT_GIT_COMMIT"
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


class _System(NamedTuple):
    """Variables of a CI system; empty for none."""

    commit: str
    branch: str = ""
    remote: str = ""


_SYSTEMS: Final = (
    _System("GITHUB_SHA", "GITHUB_REF_NAME"),
    _System("CI_COMMIT_SHA", "CI_COMMIT_BRANCH", "CI_PROJECT_URL"),
    _System("BUILDKITE_COMMIT", "BUILDKITE_BRANCH", "BUILDKITE_REPO"),
    _System("GIT_COMMIT", "GIT_BRANCH", "GIT_URL"),
    _System("CIRCLE_SHA1", "CIRCLE_BRANCH", "CIRCLE_REPOSITORY_URL"),
    _System("TRAVIS_COMMIT", "TRAVIS_BRANCH"),
    _System("BITBUCKET_COMMIT", "BITBUCKET_BRANCH", "BITBUCKET_GIT_HTTP_ORIGIN"),
    _System("DRONE_COMMIT_SHA", "DRONE_BRANCH", "DRONE_GIT_HTTP_URL"),
    _System("BUILD_SOURCEVERSION", "BUILD_SOURCEBRANCHNAME", "BUILD_REPOSITORY_URI"),
    _System("CODEBUILD_RESOLVED_SOURCE_VERSION", "", "CODEBUILD_SOURCE_REPO_URL"),
)


def is_commit(text: str) -> bool:
    """Whether `text` is the id of a commit, whole or cut."""
    return _COMMIT.fullmatch(text) is not None


def from_environment(
    given: str | None, environment: Mapping[str, str] = os.environ
) -> GitState | None:
    """What is said about the code; None when nothing is.

    Args:
        given: INSTRUMENT_GIT_COMMIT, which counts before any CI system.
        environment: The variables.
    """
    if given:
        return _state(given, GIVEN) if is_commit(given) else None
    for system in _SYSTEMS:
        commit = environment.get(system.commit, "")
        if is_commit(commit):
            branch = environment.get(system.branch) or None
            remote = environment.get(system.remote) or _github(environment, system)
            return _state(commit, system.commit, branch, remote)
    return None


def _state(
    commit: str, source: str, branch: str | None = None, remote: str | None = None
) -> GitState:
    url = redact_url(printable(remote)) if remote else None
    return GitState(
        commit=commit,
        branch=printable(branch) if branch else None,
        dirty=None,
        remote=url,
        source=source,
    )


def _github(environment: Mapping[str, str], system: _System) -> str | None:
    server = environment.get("GITHUB_SERVER_URL")
    name = environment.get("GITHUB_REPOSITORY")
    return f"{server}/{name}" if system.commit == "GITHUB_SHA" and server and name else None
