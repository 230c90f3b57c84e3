"""The slow half of the code's state: everything about its repository, and what differs in it."""

import hashlib
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from instrument.capture.changes import Asked, Gathering, Tree
from instrument.capture.facts import Facts, remote
from instrument.capture.manifest import ChangedFile, Manifest, Place, path_text
from instrument.capture.patch import Patch, make_patch
from instrument.capture.script import read_script
from instrument.capture.secret_lines import where
from instrument.guard import say
from instrument.redaction import printable
from instrument.vocabulary import EnvironmentCaptureLevel, GitState

_WAYS_OUT: Final = (
    "move the secret to a variable of the environment, or commit the file if it is none"
)
_REMOVED: Final = "recorded as code without the secrets in it"
_told: Final[set[str]] = set()


def keep_repository(
    asked: Asked, state: GitState, *, level: int, deadline: float
) -> tuple[GitState, list[str], dict[str, bytes]]:
    """The whole state of a repository, what is unknown or left out, and what is to be stored.

    Args:
        asked: The repository.
        state: What is known already.
        level: At BASIC only whether anything differs is read.
        deadline: When git must be done, by the monotonic clock.
    """
    is_basic = level < EnvironmentCaptureLevel.STANDARD
    with ExitStack() as stack:
        try:
            facts = None if is_basic else stack.enter_context(Facts(asked.repository, deadline))
            gathering = Gathering(deadline)
            trees = gathering.trees(asked)
        except OSError as error:
            return state, [f"what differs from the commit could not be read: {error}"], {}
        more, unknown = facts.read(trees) if facts is not None else ({}, [])
    dirty = _is_dirty(trees, gathering.left_out)
    state = msgspec.structs.replace(state, dirty=dirty, **more)
    if is_basic:
        return state, [], {}
    objects, reason = _keep_changes(trees, gathering.left_out, deadline)
    return state, [*unknown, *filter(None, [reason])], objects


def keep_script(
    directory: Path, command: Sequence[str] | None
) -> tuple[dict[str, bytes], str | None]:
    """The running script, to be stored, and why it is not.

    Args:
        directory: Where the code is.
        command: The command that is recorded, when that is another process than this one.
    """
    script = read_script(directory, command)
    if script is None:
        return {}, None
    shown = printable(script.path.name)
    if script.content is None:
        return {}, f"the script {shown} is not kept: {script.reason}"
    reason = None
    if script.redacted:
        reason = f"secrets removed from the script: {shown} ({where(script.redacted)})"
        _tell(f"{_REMOVED}: {shown} ({where(script.redacted)})")
    digest = f"sha256:{hashlib.sha256(script.content).hexdigest()}"
    name = path_text(os.fsencode(script.path.name))
    manifest = Manifest(
        directory=printable(str(script.path.parent)),
        files=(ChangedFile(path=name, mode=script.mode, digest=digest, redacted=script.redacted),),
    )
    return {"script": script.content, "manifest": msgspec.json.encode(manifest)}, reason


def _is_dirty(trees: Sequence[Tree], unread: Sequence[tuple[bytes, str]]) -> bool | None:
    """Whether anything differs; None when that rests on a repository that could not be read."""
    if any(tree.is_dirty for tree in trees):
        return True
    return None if unread else False


def _keep_changes(
    trees: Sequence[Tree], left_out: Sequence[tuple[bytes, str]], deadline: float
) -> tuple[dict[str, bytes], str | None]:
    """The patch and the manifest, and what they leave out."""
    differs = len(trees) > 1 or any(tree.differences or tree.large for tree in trees)
    if not differs and not left_out:
        return {}, None
    try:
        patch = make_patch(
            trees, _places(trees), left_out, limit_seconds=deadline - time.monotonic()
        )
    except OSError as error:  # git is gone, no space left, a time limit
        return {}, f"what differs from the commit could not be kept: {error}"
    if patch.leaks:
        _tell(f"not recorded as code: {patch.leaks}")
    if patch.redacted:
        _tell(f"{_REMOVED}: {patch.redacted}")
    return _objects(patch), patch.reason


def _tell(what: str) -> None:
    """Say, once a process, that the run does not have code which its user thinks it has."""
    message = f"{what}; {_WAYS_OUT}"
    if message not in _told:
        _told.add(message)
        say(message)


def _places(trees: Sequence[Tree]) -> list[Place]:
    return [
        Place(path=path_text(tree.path), commit=tree.status.commit, remote=remote(tree.settings))
        for tree in trees
    ]


def _objects(patch: Patch) -> dict[str, bytes]:
    objects = {"manifest": msgspec.json.encode(patch.manifest)}
    if patch.data:
        objects["patch"] = patch.data
    return objects
