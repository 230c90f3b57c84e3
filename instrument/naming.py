"""Names: what an artifact, a run and a reference may be called, and who builds the usual ones.

A *reference* is ``name:vN`` (``name:N`` means the same), ``name:ALIAS`` (``latest`` always exists)
or a bare ``name``, which means ``name:latest``.
"""

import os
import re
from datetime import datetime
from typing import Final, NamedTuple

from instrument.errors import UsageError

LATEST: Final = "latest"
CHECKPOINTS: Final = "checkpoint_"
"""How the name of every checkpoint begins."""
MAX_NAME_LENGTH: Final = 128
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_VERSION = re.compile(r"v?([1-9][0-9]{0,8})")
_LIKE_VERSION = re.compile(r"[vV]?[0-9]+")
_SEMANTIC = re.compile(r"v?[0-9]+\.[0-9]+\.[0-9]+(?:[-+].*)?")
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{3,63}")


class Reference(NamedTuple):
    """A parsed reference to an artifact.

    Attributes:
        name: Name of the artifact.
        version: Version from 1, or None when `alias` says which.
        alias: The alias asked for, or None when `version` is given.
    """

    name: str
    version: int | None
    alias: str | None

    def __str__(self) -> str:
        """``name:vN`` or ``name:alias``."""
        return f"{self.name}:{self.alias or f'v{self.version}'}"


def check_artifact_name(name: str) -> str:
    """`name`, if it can name an artifact.

    Raises:
        UsageError: It is empty, too long, or has other characters than these.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
        raise UsageError(
            f"{name!r:.80} cannot name an artifact: start with a letter or digit and use letters, "
            f"digits and . _ + - only, {MAX_NAME_LENGTH} characters at most"
        )
    return name


def check_alias(alias: str) -> str:
    """`alias`, if a new one can be called so; what reads like a version is none."""
    if _LIKE_VERSION.fullmatch(_check_word(alias)):
        raise UsageError(
            f"{alias!r:.80} cannot be an alias: it reads like a version; add a word, such as "
            f"release-{alias:.40}"
        )
    return alias


def _check_word(alias: str) -> str:
    """`alias`, if some store can have it: before, names were taken that read like versions."""
    is_word = isinstance(alias, str) and _ALIAS.fullmatch(alias) and len(alias) <= MAX_NAME_LENGTH
    if not is_word:
        raise UsageError(f"{alias!r:.80} cannot be an alias: use letters, digits and . _ + -")
    return alias


def check_move(name: str, alias: str, before: int | None, after: int) -> None:
    """Check that `alias` of `name` may move to version `after`.

    Raises:
        UsageError: It is a semantic version such as ``v1.2.0`` and stands elsewhere: those never
            move once they are set.
    """
    if before not in {None, after} and _SEMANTIC.fullmatch(alias):
        raise UsageError(
            f"{name}:{alias} is v{before}, and a semantic version never moves; choose the next one"
        )


def check_run_id(run_id: str) -> str:
    """`run_id`, if it can be one: it becomes the name of a directory."""
    if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
        raise UsageError(f"{run_id!r:.80} cannot be a run id: use 4 to 64 letters, digits, - and _")
    return run_id


def check_given_run_id(run_id: str) -> str:
    """`run_id`, if a new run can get it.

    Raises:
        UsageError: It is no run id, or the word that means another run.
    """
    if check_run_id(run_id).lower() == LATEST:
        raise UsageError(
            f"{run_id!r} cannot be a run id: everywhere it means the latest run; use another"
        )
    return run_id


def parse_reference(text: str) -> Reference:
    """The reference that `text` spells.

    Raises:
        UsageError: `text` is not ``name``, ``name:vN`` or ``name:alias``.
    """
    if not isinstance(text, str):
        raise UsageError(f"{text!r:.80} is no reference; use name, name:vN or name:alias")
    name, colon, rest = text.partition(":")
    check_artifact_name(name)
    if not colon:
        return Reference(name, None, LATEST)
    if match := _VERSION.fullmatch(rest):
        return Reference(name, int(match[1]), None)
    return Reference(name, None, _check_word(rest))


def versioned(name: str, version: int | str | None) -> str:
    """The reference of a version of `name`; `name` itself, which may be a reference, for None.

    Args:
        name: Name of an artifact.
        version: Number, ``vN`` or alias.

    Raises:
        UsageError: Both name a version, or `version` names none.
    """
    if version is None:
        return name
    if isinstance(version, bool) or not isinstance(version, (int, str)):
        raise UsageError(f"version={version!r:.80} is none; use a number, vN or an alias")
    return f"{check_artifact_name(name)}:{f'v{version}' if isinstance(version, int) else version}"


def new_run_id(now: datetime) -> str:
    """A run id that sorts by time and never collides: ``20261121-041845-3f9c2a7b41d0``.

    Args:
        now: The time the run starts, aware; the id is in UTC.
    """
    return f"{now:%Y%m%d-%H%M%S}-{os.urandom(6).hex()}"


def dataset_name(name: str, version: str | int) -> str:
    """``dataset-<name>-<version>``."""
    return check_artifact_name(f"dataset-{name}-{version}")


def model_name(run_id: str) -> str:
    """``model-<run_id>``."""
    return check_artifact_name(f"model-{run_id}")


def checkpoint_name(kind: str, identity: str | int) -> str:
    """``checkpoint_<type>_<id>``."""
    return check_artifact_name(f"{CHECKPOINTS}{kind}_{identity}")


def evaluation_name(model: str, dataset: str) -> str:
    """``eval-<model>-on-<dataset>``; the colons of references become dashes."""
    return check_artifact_name(f"eval-{model}-on-{dataset}".replace(":", "-"))


def metrics_name(stage: str, identity: str) -> str:
    """``<stage>_metrics_<id>``."""
    return check_artifact_name(f"{stage}_metrics_{identity}")


def experience_buffer_name(at: datetime) -> str:
    """``experience_buffer_<timestamp>``."""
    return check_artifact_name(f"experience_buffer_{at:%Y%m%dT%H%M%S%f}")
