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


class Submodule(msgspec.Struct, frozen=True, kw_only=True):
    """A repository inside the user's repository.

    Attributes:
        path: Where it lies, relative to the root of the outermost repository.
        commit: The commit that is checked out; of one that is not checked out, the commit that is
            registered; None before its first commit.
        dirty: True when anything in it differs from that commit; None when it is not checked out
            or cannot be read.
        is_registered: False for a repository that merely lies there, unknown to the outer one.
    """

    path: str
    commit: str | None
    dirty: bool | None
    is_registered: bool = True


class GitState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the user's repository at one moment.

    What is None is unknown, and the record says why; from `remotes` on, fields are not asked for
    at BASIC.

    Attributes:
        commit: Full commit id, or None in a repository without commits.
        branch: Branch, or None when HEAD is detached.
        dirty: True when anything differs from the commit, untracked files included; None unknown.
        remote: URL of the remote, without user, password and query; None when there is none.
        root: Name of the directory of the working tree.
        source: Who says so: ``git``; ``files`` for the files of the repository, where git could
            not be asked; else the variable that names the commit, such as ``GITHUB_SHA``.
        detached: Whether HEAD names a commit and no branch.
        upstream: Branch that this one follows, such as ``origin/main``; None when there is none.
        ahead: Commits that the upstream does not have; None when there is no upstream.
        behind: Commits that only the upstream has; None when there is no upstream.
        remotes: URL of each remote by its name, without user, password and query.
        tags: Tags at the commit.
        describe: The nearest tag before the commit, the commits since then and the commit, such as
            ``v1.2-14-gabcdef0``; None when there is no tag.
        submodules: Repositories inside this one, at any depth.
        worktree: ``main``, or ``linked`` for one that ``git worktree add`` made.
        operation: What the repository is in the middle of: ``merge``, ``rebase``, ``cherry-pick``,
            ``revert``, ``bisect`` or ``none``.
        shallow: Whether the history is cut off.
        lfs_files: How many files Git LFS holds.
        lfs_pointers: How many of them are not there: a pointer lies in their place.
    """

    commit: str | None
    branch: str | None
    dirty: bool | None
    remote: str | None = None
    root: str | None = None
    source: str = "git"
    detached: bool | None = None
    upstream: str | None = None
    ahead: int | None = None
    behind: int | None = None
    remotes: dict[str, str] | None = None
    tags: tuple[str, ...] | None = None
    describe: str | None = None
    submodules: tuple[Submodule, ...] | None = None
    worktree: str | None = None
    operation: str | None = None
    shallow: bool | None = None
    lfs_files: int | None = None
    lfs_pointers: int | None = None


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


class GivenSeed(msgspec.Struct, frozen=True, kw_only=True):
    """The seed that the program itself gave to a library, by a call of the library.

    Attributes:
        seed: The last one; None where it was no integer of 64 bits.
        reason: Why `seed` is None: what was given instead, by its type and digest.
        calls: How often it gave one.
    """

    seed: int | None
    reason: str | None = None
    calls: int


class File(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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
        parents: References of the versions it was made from when it was first logged. Runs that
            log it again may tell of others: `RunSummary.logged_again`.
        metadata: What the user said about it.
        origin: ``<store id>/<name:vN>`` of the version that an import brought; None for one that
            was made here.
        check: SHA-256, in hex, of all that the store keeps of this version, which is everything
            here but the aliases; None where the store tells none.
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
    origin: str | None = None
    check: str | None = None

    @property
    def ref(self) -> str:
        """``name:vN``, or ``name:unrecorded`` when the store could not take it."""
        return f"{self.name}:v{self.version}" if self.version else f"{self.name}:unrecorded"

    @property
    def home(self) -> str | None:
        """Id of the store that an import brought it from; None for one that was made here."""
        return self.origin.partition("/")[0] if self.origin else None

    def __str__(self) -> str:
        return self.ref
