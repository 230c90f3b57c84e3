"""The artifacts of one run: what it used, what it made, and that the one came from the other."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from instrument.errors import StoreError, UsageError
from instrument.given import reference, references
from instrument.guard import say
from instrument.naming import check_artifact_name, parse_reference
from instrument.protocols import Store
from instrument.recording import Recording
from instrument.records import ArtifactLogged, ArtifactUsed, CheckpointSaved, Record
from instrument.vocabulary import ArtifactVersion

if TYPE_CHECKING:
    from instrument.artifacts import Artifact


class Content(NamedTuple):
    """What the user gives for an artifact; see `ExperimentContext.log_artifact`."""

    data: Any = None
    file_path: str | Path | None = None
    metadata: Mapping[str, Any] | None = None
    parents: Any = None
    pickle: bool = False


class Run(Protocol):
    """The run, as `RunArtifacts` needs it."""

    id: str

    @property
    def recording(self) -> Recording | None:
        """What records the run."""

    @property
    def store(self) -> Store | None:
        """Where it is recorded."""

    def record(self, record: Record) -> None:
        """Take a record."""


class RunArtifacts:
    """Logs and uses artifacts for `run`."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._used: dict[str, None] = {}

    @property
    def used(self) -> tuple[str, ...]:
        """References of what the run has used, in order of first use."""
        return tuple(self._used)

    def use(self, wanted: Any) -> "Artifact":
        """See `ExperimentContext.use_artifact`."""
        from instrument.artifacts import use

        requested = reference(wanted)
        store = self._run.store
        if store is None:
            raise StoreError(f"{requested!r} cannot be read: the store is not usable")
        artifact = use(store, requested)
        version = artifact.version
        self._used.setdefault(version.ref)
        self._run.record(
            ArtifactUsed(
                ref=version.ref, type=version.type, digest=version.digest, requested=requested
            )
        )
        return artifact

    def log(
        self, name: str, kind: str, content: Content, *, role: str = "output"
    ) -> ArtifactVersion:
        """See `ExperimentContext.log_artifact`."""
        from instrument.artifacts import log_value, unrecorded

        check_artifact_name(name)
        _check_path(content.file_path)
        given = content.parents
        parents = references("parent_artifacts", given) if given is not None else self.used
        version = unrecorded(name, kind)
        recording = self._run.recording
        if recording is None or recording.store is None:
            return version
        with recording.guard.protect(f"log artifact {name!r}"):
            version = log_value(
                recording.store,
                name=name,
                type=kind,
                data=content.data,
                file_path=Path(content.file_path) if content.file_path is not None else None,
                metadata=content.metadata,
                parents=parents,
                run_id=self._run.id,
                clock=recording.clock,
                pickle=content.pickle,
            )
            self._run.record(_logged(version, role))
            _tell_what_is_not_kept(version, kind, content)
        return version

    def checkpoint(
        self,
        name: str,
        content: Content,
        step: int | None,
        metrics: dict[str, float | str],
        *,
        best: bool,
    ) -> ArtifactVersion:
        """See `ExperimentContext.log_checkpoint`."""
        about = {"step": step, "metrics": metrics, "best": best}
        content = content._replace(metadata=about)
        version = self.log(name, "checkpoint", content, role="checkpoint")
        recording = self._run.recording
        if version.version is None or recording is None or recording.store is None:
            return version
        self._run.record(CheckpointSaved(ref=version.ref, step=step, metrics=metrics, best=best))
        if best:
            with recording.guard.protect("move the alias `best`"):
                recording.store.tag(parse_reference(version.ref), "best", datetime.now(UTC))
        return version


def _tell_what_is_not_kept(version: ArtifactVersion, kind: str, content: Content) -> None:
    """Content that the name has already keeps its version, and what was said of that."""
    news = [f"type {kind!r}"] if version.type != kind else []
    if content.metadata and not set(content.metadata) <= set(version.metadata):
        news.append("metadata")
    if news:
        say(
            f"{version.ref} had this content already, with type {version.type!r}: the "
            f"{' and '.join(news)} given now is not kept; log it under another name to keep it"
        )


def _check_path(path: Any) -> None:
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise UsageError(f"file_path={path!r:.80} is no path; use data= for a value")


def _logged(version: ArtifactVersion, role: str) -> ArtifactLogged:
    return ArtifactLogged(
        ref=version.ref,
        type=version.type,
        digest=version.digest,
        size_bytes=version.size_bytes,
        parents=version.parents,
        role=role,
    )
