"""The artifacts of one run: what it used, what it made, and that the one came from the other."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from instrument.canonical import plain_float
from instrument.errors import StoreError, UsageError
from instrument.naming import parse_reference
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
    parents: Iterable[str] | None = None
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

    def use(self, reference: str) -> "Artifact":
        """See `ExperimentContext.use_artifact`."""
        from instrument.artifacts import use

        store = self._run.store
        if store is None:
            raise StoreError(f"{reference!r} cannot be read: the store is not usable")
        artifact = use(store, reference)
        version = artifact.version
        self._used.setdefault(version.ref)
        self._run.record(
            ArtifactUsed(
                ref=version.ref, type=version.type, digest=version.digest, requested=str(reference)
            )
        )
        return artifact

    def log(
        self, name: str, kind: str, content: Content, *, role: str = "output"
    ) -> ArtifactVersion:
        """See `ExperimentContext.log_artifact`."""
        from instrument.artifacts import log_value, unrecorded

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
                parents=self.used if content.parents is None else tuple(content.parents),
                run_id=self._run.id,
                clock=recording.clock,
                pickle=content.pickle,
            )
            self._run.record(_logged(version, role))
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


def number(name: object, value: Any) -> float | str:
    """`value` as a number that JSON can hold (see `instrument.canonical.plain_float`).

    Raises:
        UsageError: It is not a number.
    """
    try:
        return plain_float(float(value))
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise UsageError(
            f"metric {str(name)[:80]!r} is a {type(value).__name__}, not a number; "
            "log_params takes words, log_artifact anything"
        ) from None


def numbers_by_name(metrics: Mapping[str, Any]) -> dict[str, float | str]:
    """`metrics` with string names and numbers that JSON can hold."""
    return {str(name): number(name, value) for name, value in metrics.items()}


def _logged(version: ArtifactVersion, role: str) -> ArtifactLogged:
    return ArtifactLogged(
        ref=version.ref,
        type=version.type,
        digest=version.digest,
        size_bytes=version.size_bytes,
        parents=version.parents,
        role=role,
    )
