"""The continuous-integration job that this process runs in: what it was started for, and where."""

import os
from collections.abc import Mapping
from typing import Final

from instrument.capture.parts import NotKnown
from instrument.redaction import printable, redact_text

_SYSTEMS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    # name: (the variable that is a sign of it, field: variable)
    "github": (
        "GITHUB_ACTIONS",
        {
            "server": "GITHUB_SERVER_URL",
            "repository": "GITHUB_REPOSITORY",
            "workflow": "GITHUB_WORKFLOW",
            "job": "GITHUB_JOB",
            "run_id": "GITHUB_RUN_ID",
            "attempt": "GITHUB_RUN_ATTEMPT",
            "event": "GITHUB_EVENT_NAME",
            "ref": "GITHUB_REF",
            "commit": "GITHUB_SHA",
            "actor": "GITHUB_ACTOR",
            "runner": "RUNNER_NAME",
            "image": "ImageOS",
            "image_version": "ImageVersion",
        },
    ),
    "gitlab": (
        "GITLAB_CI",
        {
            "server": "CI_SERVER_URL",
            "repository": "CI_PROJECT_PATH",
            "workflow": "CI_PIPELINE_ID",
            "job": "CI_JOB_NAME",
            "run_id": "CI_JOB_ID",
            "event": "CI_PIPELINE_SOURCE",
            "ref": "CI_COMMIT_REF_NAME",
            "commit": "CI_COMMIT_SHA",
            "actor": "GITLAB_USER_LOGIN",
            "runner": "CI_RUNNER_DESCRIPTION",
            "image": "CI_JOB_IMAGE",
            "url": "CI_JOB_URL",
        },
    ),
    "jenkins": (
        "JENKINS_URL",
        {
            "server": "JENKINS_URL",
            "job": "JOB_NAME",
            "run_id": "BUILD_NUMBER",
            "ref": "GIT_BRANCH",
            "commit": "GIT_COMMIT",
            "runner": "NODE_NAME",
            "url": "BUILD_URL",
        },
    ),
    "buildkite": (
        "BUILDKITE",
        {
            "repository": "BUILDKITE_REPO",
            "workflow": "BUILDKITE_PIPELINE_SLUG",
            "job": "BUILDKITE_LABEL",
            "run_id": "BUILDKITE_JOB_ID",
            "attempt": "BUILDKITE_RETRY_COUNT",
            "event": "BUILDKITE_SOURCE",
            "ref": "BUILDKITE_BRANCH",
            "commit": "BUILDKITE_COMMIT",
            "runner": "BUILDKITE_AGENT_NAME",
            "url": "BUILDKITE_BUILD_URL",
        },
    ),
    "azure": (
        "TF_BUILD",
        {
            "server": "SYSTEM_COLLECTIONURI",
            "repository": "BUILD_REPOSITORY_NAME",
            "workflow": "BUILD_DEFINITIONNAME",
            "job": "SYSTEM_JOBNAME",
            "run_id": "BUILD_BUILDID",
            "attempt": "SYSTEM_JOBATTEMPT",
            "event": "BUILD_REASON",
            "ref": "BUILD_SOURCEBRANCH",
            "commit": "BUILD_SOURCEVERSION",
            "runner": "AGENT_NAME",
        },
    ),
    "circleci": (
        "CIRCLECI",
        {
            "repository": "CIRCLE_PROJECT_REPONAME",
            "workflow": "CIRCLE_WORKFLOW_ID",
            "job": "CIRCLE_JOB",
            "run_id": "CIRCLE_BUILD_NUM",
            "ref": "CIRCLE_BRANCH",
            "commit": "CIRCLE_SHA1",
            "url": "CIRCLE_BUILD_URL",
        },
    ),
}


def ci(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The system and the fields that it gives; the same names for all systems.

    Args:
        environment: The variables to look at.
    """
    for name, (sign, fields) in _SYSTEMS.items():
        if environment.get(sign):
            told = {
                field: redact_text(printable(environment[variable]))
                for field, variable in fields.items()
                if environment.get(variable)
            }
            return {"system": name, **told}
    raise NotKnown("no variable of a CI system is set")
