"""What records speak of: states, levels, and the small values that they carry."""

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any

import msgspec


class RunState(StrEnum):
    """What became of a run."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"


class EnvironmentCaptureLevel(IntEnum):
    """How much of the environment is captured."""

    BASIC = 1
    STANDARD = 2
    COMPLETE = 3


class ArtifactType(StrEnum):
    """The usual types of artifact; any other lower-case word is allowed too."""

    DATASET = "dataset"
    TRAINING_DATA = "training_data"
    MODEL = "model"
    CHECKPOINT = "checkpoint"
    EVALUATION = "evaluation"
    METRICS = "metrics"
    CONFIG = "config"
    CODE = "code"
    LOG = "log"
    EXPERIENCE_BUFFER = "experience_buffer"
    OTHER = "other"


class GitState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the user's repository at one moment.

    Attributes:
        commit: Full commit id, or None in a repository without commits.
        branch: Branch, or None when HEAD is detached.
        dirty: True when anything differs from the commit, untracked files included; None unknown.
        remote: URL of the remote, without user, password and query; None when there is none.
        root: Name of the directory of the working tree.
    """

    commit: str | None
    branch: str | None
    dirty: bool | None
    remote: str | None = None
    root: str | None = None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How one part of a capture went: what was tried, and why it is not whole.

    Attributes:
        part: Name of the part, such as ``git`` or ``packages``.
        status: ``done``, ``skipped``, ``truncated``, ``timed_out`` or ``failed``.
        reason: Why it is not ``done``; None when it is.
        seconds: How long the part took.
    """

    part: str
    status: str
    reason: str | None = None
    seconds: float | None = None


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One file of an artifact.

    Attributes:
        path: Path inside the artifact, with forward slashes.
        digest: ``sha256:<hex>`` of the bytes.
        size_bytes: Size of the bytes.
    """

    path: str
    digest: str
    size_bytes: int


class ArtifactVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an artifact: a name for content that never changes.

    Attributes:
        name: Name of the artifact.
        version: Number from 1; None when the store could not take it (the run's problems say why).
        type: Type, such as ``model`` (see `ArtifactType`).
        digest: Digest of the one file, or of the listing of the tree (docs/store-format.md).
        size_bytes: Bytes of all files together.
        files: The files, sorted by path.
        is_tree: True when the artifact is a directory, False when it is one file.
        format: How a value was written, such as ``safetensors`` or ``json``; None for files given
            as they are.
        run_id: The run that logged it; None when it was logged outside a run.
        created_at: When the version was made, UTC.
        aliases: Aliases that point here now.
        parents: References of the versions it was made from.
        metadata: What the user said about it.
    """

    name: str
    version: int | None
    type: str
    digest: str
    size_bytes: int
    files: tuple[File, ...]
    is_tree: bool
    format: str | None
    run_id: str | None
    created_at: datetime
    aliases: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}

    @property
    def ref(self) -> str:
        """``name:vN``, or ``name:unrecorded`` when the store could not take it."""
        return f"{self.name}:v{self.version}" if self.version else f"{self.name}:unrecorded"
