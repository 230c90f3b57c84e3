"""The artifacts of one run: what it used, what it made, and that the one came from the other."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from instrument import given, settings
from instrument.errors import NotFoundError, StoreError, UsageError
from instrument.given import Referring
from instrument.guard import say
from instrument.naming import check_artifact_name, checkpoint_name, parse_reference, versioned
from instrument.overhead import costs
from instrument.protocols import Store
from instrument.recording import Recording
from instrument.records import ArtifactLogged, ArtifactUsed, CheckpointSaved, Record
from instrument.vocabulary import ArtifactVersion

if TYPE_CHECKING:
    from instrument.artifacts import Artifact


class _Content(NamedTuple):
    """What the user gives for an artifact; see `RunArtifacts.log_artifact`."""

    data: Any = None
    file_path: str | Path | None = None
    metadata: Mapping[str, Any] | None = None
    parents: Any = None
    pickle: bool = False


class RunArtifacts(ABC):
    """What a run does with artifacts; `instrument.context.ExperimentContext` is the run.

    Attributes:
        id: The run's id.
        recording: What records the run; None when recording is disabled.
    """

    id: str
    recording: Recording | None

    def __init__(self) -> None:
        self._used: dict[str, None] = {}
        self._stored: set[str] = set()

    @property
    @abstractmethod
    def store(self) -> Store | None:
        """The store it is recorded in; None when it cannot be used."""

    @abstractmethod
    def record(self, record: Record) -> None:
        """Take a record; does nothing when recording is disabled."""

    @abstractmethod
    def problem(self, doing: str, error: BaseException) -> None:
        """Count, record and show a failure of recording."""

    @property
    def used(self) -> tuple[str, ...]:
        """References of what the run has used so far, in order of first use."""
        return tuple(self._used)

    @costs("artifacts")
    def log_artifact(  # noqa: PLR0913 - what an artifact consists of
        self,
        name: str,
        type: str = "other",  # noqa: A002 - the field's usual name
        data: Any = None,
        file_path: str | Path | None = None,
        metadata: Mapping[str, Any] | None = None,
        parent_artifacts: Referring | Iterable[Referring] | None = None,
        *,
        pickle: bool = False,
    ) -> ArtifactVersion:
        """Store a value, a file or a directory as a version of the artifact `name`.

        Args:
            name: Name of the artifact.
            type: Type, such as ``model`` (see `ArtifactType`).
            data: A value: serialised by what it is (docs/artifacts.md).
            file_path: A file or directory, in place of `data`.
            metadata: Anything to say about it.
            parent_artifacts: What it was made from: references, artifacts or versions; by default
                everything that this run has used so far. One that the store could not take, or
                has lost, is left out, which the run's problems say.
            pickle: Allow pickle for a value that has no other form.

        Returns:
            The version; its ``version`` is None when the store could not take it, or something
            below a directory cannot be stored.

        Raises:
            UsageError: The name, the type or the value is not usable.
            NotFoundError: The path that is given does not exist, or a parent never did.
        """
        content = _Content(data, file_path, metadata, parent_artifacts, pickle)
        return self._log(name, str(type), content)

    @costs("artifacts")
    def use_artifact(self, reference: Referring, version: int | str | None = None) -> "Artifact":
        """The artifact that `reference` means now, recorded as an input of the run.

        Works offline and with recording disabled. One that the store could not take, has lost or
        cannot read is no input on the record, which the run's problems say; an `UnstoredArtifact`
        stands in for it.

        Args:
            reference: A name, ``name:vN``, ``name:alias``, an artifact or a version.
            version: Number, ``vN`` or alias, where `reference` is a bare name.

        Raises:
            UsageError: `reference` is not ``name``, ``name:vN`` or ``name:alias``, or names a
                version as `version` does.
            NotFoundError: There is no such artifact.
        """
        from instrument.artifacts import Artifact, UnstoredArtifact
        from instrument.intercept.named import named_by

        requested = versioned(given.reference(reference), version)
        try:
            artifact = Artifact(*self._find(requested))
        except (UsageError, NotFoundError):
            raise
        except Exception as error:
            if self.recording is not None:
                self.problem(f"use artifact {requested!r}", error)
            return UnstoredArtifact(requested, error)
        found = artifact.version
        self._used.setdefault(found.ref)
        if self.recording is not None:
            with self.recording.guard.protect("remember what was used"):
                named_by(self.recording).uses(found)
        self.record(
            ArtifactUsed(ref=found.ref, type=found.type, digest=found.digest, requested=requested)
        )
        return artifact

    def log_model_checkpoint(
        self,
        path: str | Path,
        step: int | None = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> ArtifactVersion:
        """Store the checkpoint at `path` as a version of ``checkpoint_model_<run id>``.

        Args:
            path: File or directory.
            step: Step or epoch it was taken at.
            metrics: Numbers at that moment.

        Raises:
            NotFoundError: `path` does not exist.
            UsageError: A metric is not a number.
        """
        return self.log_checkpoint(file_path=path, step=step, metrics=metrics)

    @costs("artifacts")
    def log_checkpoint(  # noqa: PLR0913 - what a checkpoint consists of
        self,
        data: Any = None,
        *,
        file_path: str | Path | None = None,
        step: int | None = None,
        metrics: Mapping[str, Any] | None = None,
        best: bool = False,
        kind: str = "model",
    ) -> ArtifactVersion:
        """Store a checkpoint, given as a value or a path; see `log_model_checkpoint`.

        Args:
            data: The state: a module, a state dict, anything `log_artifact` takes.
            file_path: A file or directory, in place of `data`.
            step: Step or epoch it was taken at.
            metrics: Numbers at that moment.
            best: Whether it is the best so far; the alias ``best`` then points to it.
            kind: What is checkpointed; part of the artifact's name.
        """
        name = checkpoint_name(kind, self.id or "disabled")
        numbers = given.numbers_by_name({} if metrics is None else metrics)
        step = given.step_number(step) if step is not None else None
        about = {"step": step, "metrics": numbers, "best": best}
        content = _Content(data, file_path, metadata=about)
        version = self._log(name, "checkpoint", content, role="checkpoint")
        recording = self.recording
        if version.version is None or recording is None or recording.store is None:
            return version
        self.record(CheckpointSaved(ref=version.ref, step=step, metrics=numbers, best=best))
        if best:
            with (
                recording.guard.protect("move the alias `best`"),
                self._as_failure_of(recording.store),
            ):
                recording.store.tag(parse_reference(version.ref), "best", datetime.now(UTC))
        return version

    def _log(
        self, name: str, kind: str, content: _Content, *, role: str = "output"
    ) -> ArtifactVersion:
        from instrument.artifacts import log_value, unrecorded
        from instrument.artifacts.unstored import remember
        from instrument.intercept.named import named_by

        check_artifact_name(name)
        _check_path(content.file_path)
        parents = content.parents
        given_refs = parents is not None
        refs = given.references("parent_artifacts", parents) if given_refs else self._seen(name)
        version = unrecorded(name, kind)
        recording = self.recording
        store = recording.store if recording is not None else None
        if recording is None or store is None:
            remember(self._location, name, stored=False)
            return version
        path = Path(content.file_path) if content.file_path is not None else None
        kept = self._parents(name, refs)
        with recording.guard.protect(f"log artifact {name!r}"), self._as_failure_of(store):
            version = log_value(
                store,
                name=name,
                type=kind,
                data=content.data,
                file_path=path,
                metadata=content.metadata,
                found_parents=kept,
                run_id=None if recording.has_ended else self.id,
                clock=recording.clock,
                pickle=content.pickle,
            )
            self._stored.add(version.ref)
            named_by(recording).logs(version)
            record = _as_said_now(_logged(version, role), version, kept, content.metadata)
            self.record(record)
            if role == "output":
                _tell_what_is_not_kept(version, kind, content, record)
        remember(self._location, name, stored=version.version is not None)
        return version

    def _seen(self, name: str) -> tuple[str, ...]:
        """What the run has used and was seen to read by now, before it logs `name`."""
        from instrument.intercept.named import seen_by_now

        if self.recording is None:
            return self.used
        logged: list[str] = []
        with self.recording.guard.protect("find what was read before"):
            seen = seen_by_now(self.recording, name)
            for ref in list(seen.recognised):
                self._used.setdefault(ref)
            logged = seen.logged_and_read()
        return (*self.used, *logged)

    def _parents(self, name: str, references: Iterable[str]) -> list[ArtifactVersion]:
        """Those of `references` that the store has; a problem tells of what it should have.

        Raises:
            UsageError: One is no reference.
            NotFoundError: One was never there.
        """
        kept = []
        for reference in references:
            try:
                kept.append(self._find(reference)[1])
            except (UsageError, NotFoundError):
                raise
            except Exception as error:
                self.problem(f"keep {reference!r} as a parent of {name!r}", error)
        return kept

    def _find(self, reference: str) -> tuple[Store, ArtifactVersion]:
        """The store, and the version in it that `reference` means.

        Raises:
            UsageError: It is no reference.
            NotFoundError: There never was such an artifact: the user is wrong.
            StoreError: The store did not take it, lost it, or cannot be read.
        """
        from instrument.artifacts.unstored import is_stale

        wanted = parse_reference(reference)
        store = self.store
        if store is None:
            raise StoreError(f"{reference!r} cannot be read: the store is not usable")
        if self.recording is not None and is_stale(self._location, reference):
            raise StoreError(f"the newest {wanted.name!r} could not be stored")
        try:
            return store, store.resolve(wanted)
        except NotFoundError as error:
            why = self._excuse(store, reference)
            if why is None:
                raise
            raise StoreError(why) from error

    def _excuse(self, store: Store, reference: str) -> str | None:
        """Why `store` lacks `reference` by no mistake of the user's; None if it is one."""
        from instrument.artifacts.unstored import may_be_unstored

        if may_be_unstored(self._location, reference):
            if self.recording is None and settings.is_disabled():
                return "nothing is stored while INSTRUMENT_MODE=disabled; keep the value itself"
            return "it could not be stored when it was logged"
        if reference in self._stored or reference in self._used:
            return f"it is no longer in {store.location}"
        if self.recording is not None and not _has_run(store, self.id):
            return f"nothing of this run is in {store.location} either"
        return None

    @contextmanager
    def _as_failure_of(self, store: Store) -> Iterator[None]:
        """What `store` does not find is no mistake of the user's where it lacks this very run."""
        try:
            yield
        except NotFoundError as error:
            if _has_run(store, self.id):
                raise
            raise StoreError(f"{store.location} does not work: {error}") from error

    @property
    def _location(self) -> str:
        """Where the run is recorded; empty when nowhere."""
        recording = self.recording
        return recording.store.location if recording and recording.store else ""


def _has_run(store: Store, run_id: str) -> bool:
    """Whether the store works, by a record that it must have."""
    try:
        store.run(run_id)
    except Exception:
        return False
    return True


def _tell_what_is_not_kept(
    version: ArtifactVersion, kind: str, content: _Content, record: ArtifactLogged
) -> None:
    """Content that the name has already keeps its version, and what was said of that."""
    news = [f"type {kind!r}"] if version.type != kind else []
    if record.metadata is not None and not record.metadata.keys() <= version.metadata.keys():
        news.append("metadata")  # other values of what it has are seldom more than a date
    if content.parents is not None and set(record.parents) != set(version.parents):
        news.append("parentage")
    if news:
        say(
            f"{version.ref} had this content already, with type {version.type!r}: the "
            f"{' and '.join(news)} given now is not kept with the version (metadata and parents "
            "are, in this run's record); log it under another name to keep it there"
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
        check=version.check,
    )


def _as_said_now(
    record: ArtifactLogged,
    version: ArtifactVersion,
    parents: Iterable[ArtifactVersion],
    metadata: Mapping[str, Any] | None,
) -> ArtifactLogged:
    """`record`, where `version` was there, with what it was made from now, and what is said now."""
    from instrument.artifacts import plain_metadata

    refs = tuple(dict.fromkeys(each.ref for each in parents if each.ref != version.ref))
    about = plain_metadata(metadata)
    news = about if about and about != version.metadata else None
    if news is None and set(refs) == set(version.parents):
        return record
    return msgspec.structs.replace(record, parents=refs, again=True, metadata=news)
