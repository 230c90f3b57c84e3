"""`ArtifactManager`: everything one does with artifacts, on one object."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from instrument import given, registry, settings
from instrument.artifacts import Artifact, log_value
from instrument.artifacts.presence import roll_back
from instrument.clock import SystemClock
from instrument.context import ExperimentContext
from instrument.current import current_run
from instrument.given import Referring
from instrument.naming import parse_reference, versioned
from instrument.protocols import Clock, Store
from instrument.vocabulary import ArtifactVersion


class ArtifactManager:
    """Logs, uses and lists the artifacts of a store. Holds no state: any thread may use it.

    Where the calling code belongs to an open run, the run makes and uses them, in its own store,
    as by its own `ExperimentContext.log_artifact` and ``use_artifact``. With a `store` or a
    `run_id` given it is a manager of that store alone, whatever run is open.

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
        self._joins = store is None and run_id is None

    @property
    def store(self) -> Store:
        """The store; inside a run that it joins, the one of the run."""
        run = self._run()
        return (run.store if run is not None else None) or self._store

    def log_artifact(  # noqa: PLR0913 - what an artifact consists of
        self,
        name: str,
        type: str = "other",  # noqa: A002 - the field's name
        data: Any = None,
        file_path: str | Path | None = None,
        metadata: Mapping[str, Any] | None = None,
        parent_artifacts: Referring | Iterable[Referring] | None = None,
        *,
        pickle: bool = False,
    ) -> ArtifactVersion:
        """Store a value, a file or a directory as a version of `name`.

        See `ExperimentContext.log_artifact` for the arguments. Outside a run nothing becomes a
        parent by itself, and what the store does not take is a `StoreError`.
        """
        run = self._run()
        if run is not None:
            return run.log_artifact(
                name, type, data, file_path, metadata, parent_artifacts, pickle=pickle
            )
        parents = given.references(
            "parent_artifacts", () if parent_artifacts is None else parent_artifacts
        )
        return log_value(
            self._store,
            name=name,
            type=type,
            data=data,
            file_path=file_path,
            metadata=metadata,
            parents=parents,
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
        parent_artifacts: Referring | Iterable[Referring] | None = None,
    ) -> ArtifactVersion:
        """`log_artifact` of a path. Files of any size stream; none is held in memory."""
        return self.log_artifact(name, type, None, file_path, metadata, parent_artifacts)

    def use_artifact(self, name: Referring, version: int | str | None = None) -> Artifact:
        """An artifact, to read; inside a run that it joins, an input of the run.

        Args:
            name: Its name, or a whole reference (``name:vN``, ``name:alias``).
            version: Number, ``vN`` or alias; None means the newest, or what `name` says.

        Raises:
            UsageError: The name or version is not usable, or both name a version.
            NotFoundError: There is no such artifact.
        """
        run = self._run()
        if run is not None:
            return run.use_artifact(name, version)
        return Artifact(self._store, self._resolved(given.reference(name), version))

    def get_lineage(self, reference: str) -> dict[str, tuple[str, ...]]:
        """What an artifact was made from by all runs that logged it, all the way up.

        Returns:
            For the artifact and each of its ancestors, nearest first, the references of its
            parents.

        Raises:
            UsageError: `reference` is not ``name``, ``name:vN`` or ``name:alias``.
            NotFoundError: There is no such artifact, or an ancestor is missing from the store.
        """
        from instrument.lineage.parents import lineage_of

        store = self.store
        lineage = lineage_of(store, store.resolve(parse_reference(reference)))
        for parent in (each for parents in lineage.values() for each in parents):
            if parent not in lineage:
                store.resolve(parse_reference(parent))  # raises what is wrong with it
        return lineage

    def list_artifacts(self, name: str | None = None) -> list[ArtifactVersion]:
        """All versions of `name`, or of every name, by name and version."""
        return list(self.store.artifacts(name))

    def rollback(self, name: str, to_version: int | str) -> ArtifactVersion:
        """Point ``latest`` of `name` at an earlier version. Nothing is lost: later ones stay.

        Args:
            name: Name of the artifact.
            to_version: Number, ``vN`` or alias.

        Raises:
            NotFoundError: There is no such version, or its bytes are not in the store.
        """
        return roll_back(self.store, self._resolved(name, to_version), self._clock.now())

    def _resolved(self, name: str, version: int | str | None) -> ArtifactVersion:
        return self.store.resolve(parse_reference(versioned(name, version)))

    def _run(self) -> ExperimentContext | None:
        """The run that the calling code belongs to, where this manager joins one."""
        return current_run() if self._joins else None


def _open(directory: str | Path | None, clock: Clock) -> Store:
    """The store in `directory`, or the one that the settings name."""
    resolved = settings.resolve(store=given.directory(directory))
    return registry.open_store("local", resolved.store, clock)
