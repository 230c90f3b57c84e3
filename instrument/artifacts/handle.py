"""An artifact in the hand: what it is, where it lies, the value it holds."""

import os
from pathlib import Path
from typing import Any

from instrument.artifacts.cache import cached
from instrument.artifacts.checkout import check, copy_out, verify
from instrument.artifacts.logging import unrecorded
from instrument.artifacts.serialisers import PICKLE, serialiser_named
from instrument.errors import StoreError, UsageError
from instrument.naming import parse_reference
from instrument.protocols import Store
from instrument.vocabulary import ArtifactVersion, File


def use(store: Store, reference: str) -> "Artifact":
    """The artifact that `reference` means now.

    Raises:
        UsageError: `reference` is not ``name``, ``name:vN`` or ``name:alias``.
        NotFoundError: There is no such artifact.
        IntegrityError: What the store says of it does not match its digest.
    """
    return Artifact(store, store.resolve(parse_reference(reference)))


class Artifact:
    """One version of an artifact. Nothing is read before it is asked for; all that is, is verified.

    Args:
        store: The store that has it.
        version: The version.

    Attributes:
        version: The version.

    Raises:
        IntegrityError: The files of `version` do not match its digest.
    """

    def __init__(self, store: Store, version: ArtifactVersion) -> None:
        check(version)
        self.version = version
        self._store = store
        self._path: Path | None = None
        self._read_from: Path | None = None

    @property
    def ref(self) -> str:
        """``name:vN``."""
        return self.version.ref

    @property
    def type(self) -> str:
        """Type, such as ``model``."""
        return self.version.type

    @property
    def digest(self) -> str:
        """Digest of the file, or of the listing of the tree."""
        return self.version.digest

    @property
    def files(self) -> tuple[File, ...]:
        """The files, sorted by path."""
        return self.version.files

    @property
    def metadata(self) -> dict[str, Any]:
        """What was said about it."""
        return self.version.metadata

    def path(self) -> Path:
        """A file, or for a tree a directory, with the content. It must not be written to.

        It lies in the store itself or in the user's cache and stays there; `copy_to` makes a copy
        to keep. Verified once for each `Artifact`. Where this process could write to the store's
        own files, as root can, it is a copy in the cache, so that the store stays whole.

        Raises:
            IntegrityError: The content is damaged.
            StoreError: It could not be read, or the cache cannot be written.
        """
        if self._path is None:
            self._path = self._locate(linked=not self._could_write())
        return self._path

    def load(self, *, allow_pickle: bool = False) -> Any:
        """The value that was logged, or the path of what was given as a path.

        Modules come back as their state dict, tensors on the CPU, JSON-like values as plain ones.

        Args:
            allow_pickle: Load a pickle, which can run any code its writer chose.

        Raises:
            UsageError: It is a pickle and that is not allowed, or its serialiser is not registered.
            IntegrityError: The content is damaged.
            StoreError: It could not be read.
            MissingDependencyError: The library that reads it is not installed.
        """
        if self.version.format is None:
            return self.path()
        if self.version.format == PICKLE.format and not allow_pickle:
            raise UsageError(
                f"{self.ref} is a pickle, which runs code when it is loaded; "
                "pass allow_pickle=True if you trust who wrote it"
            )
        serialiser, path = serialiser_named(self.version.format), self._to_read()
        try:
            return serialiser.read(path)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreError(f"{self.ref} cannot be read: {reason} ({path})") from error

    def copy_to(self, path: str | Path) -> Path:
        """Copy the content to `path`: verified, whole or not at all, over nothing.

        Args:
            path: The file, or for a tree the directory, to make.

        Returns:
            The path. What has the same content already is left as it is.

        Raises:
            UsageError: Something else is there.
            IntegrityError: The content is damaged.
            StoreError: It could not be read or written.
        """
        return copy_out(self._store, self.version, Path(path).expanduser())

    def __repr__(self) -> str:
        return f"<Artifact {self.ref} {self.type} {self.digest[:19]}>"

    def _to_read(self) -> Path:
        """As `path`, for ourselves: in place also where this process could write there."""
        if self._read_from is None:
            self._read_from = self._path or self._locate(linked=True)
        return self._read_from

    def _could_write(self) -> bool:
        """Whether the permissions of the store's own files do not stop this process."""
        places = (self._store.path_of(file.digest) for file in self.files)
        return any(place is not None and os.access(place, os.W_OK) for place in places)

    def _locate(self, *, linked: bool) -> Path:
        only = self.files[0] if linked and not self.version.is_tree else None
        if only is not None and not Path(only.path).suffix:
            lies = self._store.path_of(only.digest)
            if lies is not None:
                verify(self._store, only)
                return lies
        return cached(self._store, self.version, linked=linked)


class UnstoredArtifact(Artifact):
    """Stands in for an artifact that the store cannot give.

    It can be named as an input or a parent like any other; only who asks for its content hears of
    it. Its version has no number and no digest.

    Args:
        reference: What was asked for.
        reason: Why it cannot be had.
    """

    def __init__(self, reference: str, reason: BaseException) -> None:
        self.version = unrecorded(parse_reference(reference).name, "other")
        self._asked_for = reference
        self._reason = reason

    def path(self) -> Path:
        """There is none.

        Raises:
            StoreError: Always.
        """
        raise self._error()

    def load(self, *, allow_pickle: bool = False) -> Any:  # noqa: ARG002 - as every artifact's
        """There is nothing to load.

        Raises:
            StoreError: Always.
        """
        raise self._error()

    def copy_to(self, path: str | Path) -> Path:  # noqa: ARG002 - as every artifact's
        """There is nothing to copy.

        Raises:
            StoreError: Always.
        """
        raise self._error()

    def _error(self) -> StoreError:
        error = StoreError(f"{self._asked_for!r} has no content to read: {self._reason}")
        error.__cause__ = self._reason
        return error
