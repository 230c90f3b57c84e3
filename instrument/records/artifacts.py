"""What the run makes and uses."""

from typing import Any

from instrument.records.base import Record


class ArtifactLogged(Record, frozen=True, kw_only=True, tag="artifact_logged"):
    """The run made (or logged again) an artifact version.

    Attributes:
        ref: ``name:vN``.
        type: Type of the artifact.
        digest: Its digest.
        size_bytes: Its size.
        parents: References of what the run made it from. The file of a version has those of its
            first logging.
        role: ``output``, ``checkpoint`` or ``config``.
        check: ``check`` of the version's file, so that the seal of the run covers all that the
            version says; null where the store told none.
        again: Whether the version was there already, made from something else or with other
            metadata.
        metadata: What was said about it, where the version says something else; else null.
    """

    ref: str
    type: str
    digest: str
    size_bytes: int
    parents: tuple[str, ...] = ()
    role: str = "output"
    check: str | None = None
    again: bool = False
    metadata: dict[str, Any] | None = None


class ArtifactUsed(Record, frozen=True, kw_only=True, tag="artifact_used"):
    """The run read an artifact version.

    Attributes:
        ref: ``name:vN``: what the reference meant at that moment.
        type: Type of the artifact.
        digest: Its digest.
        requested: The reference as the user wrote it.
    """

    ref: str
    type: str
    digest: str
    requested: str


class CheckpointSaved(Record, frozen=True, kw_only=True, tag="checkpoint_saved"):
    """A checkpoint became an artifact.

    Attributes:
        ref: ``name:vN``.
        step: Step or epoch it was taken at, or None.
        metrics: Metrics at that moment.
        best: True when it is the best so far by the metric that the user named.
    """

    ref: str
    step: int | None
    metrics: dict[str, float | str]
    best: bool
