"""`ArtifactManager`: everything one does with artifacts, on one object."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from instrument import given, registry, settings
from instrument.artifacts.handle import Artifact
from instrument.artifacts.logging import log_value
from instrument.clock import SystemClock
from instrument.naming import LATEST, Reference, check_artifact_name, parse_reference
from instrument.protocols import Clock, Store
from instrument.vocabulary import ArtifactVersion


class ArtifactManager:
    """Logs, uses and lists the artifacts of a store. Holds no state: any thread may use it.

    Inside a run `ExperimentContext.log_artifact` and ``use_artifact`` do the same and also record
    what the run made and used.

    Args:
        store: The store, or its directory; by default the one that the settings name.
        run_id: The run that versions are logged for, or None.

    Raises:
        UsageError: `store` is neither a store nor a path.
        StoreError: The store cannot be opened.
    """

    def __init__(
        self, store: Store | str | Path | None = None, *, run_id: str | None = None
    ) -> None:
        self._clock = SystemClock()
        self._store = store if isinstance(store, Store) else _open(store, self._clock)
        self._run_id = run_id

    @property
    def store(self) -> Store:
        """The store."""
        return self._store

    def log_artifact(  # noqa: PLR0913 - what an artifact consists of
        self,
        name: str,
        type: str = "other",  # noqa: A002 - the field's name
        data: Any = None,
        file_path: str | Path | None = None,
        metadata: Mapping[str, Any] | None = None,
        parent_artifacts: Iterable[str] | None = None,
        *,
        pickle: bool = False,
    ) -> ArtifactVersion:
        """Store a value, a file or a directory as a version of `name`.

        See `instrument.artifacts.log_value` for the arguments and the errors.
        """
        return log_value(
            self._store,
            name=name,
            type=type,
            data=data,
            file_path=file_path,
            metadata=metadata,
            parents=parent_artifacts or (),
            run_id=self._run_id,
            clock=self._clock,
            pickle=pickle,
        )

    def log_large_artifact(
        self,
        name: str,
        file_path: str | Path,
        type: str = "other",  # noqa: A002 - the field's name
        metadata: Mapping[str, Any] | None = None,
        parent_artifacts: Iterable[str] | None = None,
    ) -> ArtifactVersion:
        """`log_artifact` of a path. Files of any size stream; none is held in memory."""
        return self.log_artifact(name, type, None, file_path, metadata, parent_artifacts)

    def use_artifact(self, name: str, version: int | str | None = None) -> Artifact:
        """An artifact, to read.

        Args:
            name: Its name, or a whole reference (``name:vN``, ``name:alias``).
            version: Number, ``vN`` or alias; None means the newest, or what `name` says.

        Raises:
            UsageError: The name or version is not usable, or both name a version.
            NotFoundError: There is no such artifact.
        """
        reference = parse_reference(name)
        if version is not None:
            word = f"v{version}" if isinstance(version, int) else version
            reference = parse_reference(f"{check_artifact_name(name)}:{word}")
        return Artifact(self._store, self._store.resolve(reference))

    def get_lineage(self, reference: str) -> dict[str, tuple[str, ...]]:
        """What an artifact was made from, all the way up.

        Returns:
            For the artifact and each of its ancestors, nearest first, the references of its
            parents.

        Raises:
            UsageError: `reference` is not ``name``, ``name:vN`` or ``name:alias``.
            NotFoundError: There is no such artifact, or an ancestor is missing from the store.
        """
        first = self._store.resolve(parse_reference(reference))
        lineage = {first.ref: first.parents}
        waiting = list(first.parents)
        for parent in waiting:
            if parent not in lineage:
                version = self._store.resolve(parse_reference(parent))
                lineage[parent] = version.parents
                waiting += version.parents
        return lineage

    def list_artifacts(self, name: str | None = None) -> list[ArtifactVersion]:
        """All versions of `name`, or of every name, by name and version."""
        return list(self._store.artifacts(name))

    def rollback(self, name: str, to_version: int | str) -> ArtifactVersion:
        """Point ``latest`` of `name` at an earlier version. Nothing is lost: later ones stay.

        Args:
            name: Name of the artifact.
            to_version: Number, ``vN`` or alias.

        Raises:
            NotFoundError: There is no such version.
        """
        version = self.use_artifact(name, to_version).version
        reference = Reference(version.name, version.version, None)
        return self._store.tag(reference, LATEST, self._clock.now())


def _open(directory: str | Path | None, clock: Clock) -> Store:
    """The store in `directory`, or the one that the settings name."""
    resolved = settings.resolve(store=given.directory(directory))
    return registry.open_store("local", resolved.store, clock)
