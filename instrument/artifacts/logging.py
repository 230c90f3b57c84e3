"""Gives content a version: the one way from a value, a file or a tree into a store."""

import os
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from instrument.artifacts.trees import listing, put_tree, put_with_progress
from instrument.canonical import to_plain
from instrument.errors import NotFoundError, UsageError
from instrument.given import references, storable
from instrument.naming import check_artifact_name, parse_reference
from instrument.protocols import Clock, Draft, Store
from instrument.redaction import redact_plain
from instrument.vocabulary import ArtifactVersion, File

_TYPE = re.compile(r"[a-z][a-z0-9_]*")


class _Content(NamedTuple):
    """What is in the store already, and only lacks a name."""

    digest: str
    files: tuple[File, ...]
    is_tree: bool
    format: str | None


def log_value(  # noqa: PLR0913 - what an artifact consists of
    store: Store,
    *,
    name: str,
    type: str,  # noqa: A002 - the field's name
    data: Any = None,
    file_path: str | Path | None = None,
    metadata: Mapping[str, Any] | None = None,
    parents: Iterable[str] = (),
    found_parents: Iterable[ArtifactVersion] = (),
    run_id: str | None = None,
    clock: Clock,
    pickle: bool = False,
    why: str | None = None,
) -> ArtifactVersion:
    """Store a value, a file or a directory, and the version of `name` that holds it.

    Idempotent: content that `name` already has keeps its version. Everything goes through files, so
    that memory stays bounded at any size but for what a library itself holds.

    Args:
        store: Where it goes.
        name: Name of the artifact.
        type: Type: a lower-case word such as ``model`` (see `ArtifactType`).
        data: A value, serialised by what it is; a `Path` means the file or directory it names.
        file_path: A file or directory, in place of `data`.
        metadata: Anything JSON-like to say about it; secrets in it are removed.
        parents: References of what it was made from.
        found_parents: Versions that it was made from, and that the store was asked for already.
        run_id: The run that logs it.
        clock: Tells when the version was made.
        pickle: Take pickle for a value that has no other form.
        why: The reason, for the ledger, which hears of a version that no run logs.

    Raises:
        UsageError: Not exactly one of `data` and `file_path`, or the name, the type, the value or
            the metadata is not usable.
        NotFoundError: The file or a parent does not exist.
        MissingDependencyError: The library that writes the value is not installed.
        StoreError: It could not be stored, or a directory holds what cannot be.
    """
    check_artifact_name(name)
    check_type(type)
    about = plain_metadata(metadata)
    pinned = _pinned(store, parents, found_parents)
    content = _put(store, name, data, file_path, pickle=pickle)
    return store.claim(
        Draft(
            name=name,
            type=str(type),
            **content._asdict(),
            size_bytes=sum(file.size_bytes for file in content.files),
            run_id=run_id,
            created_at=clock.now(),
            parents=pinned,
            metadata=about,
        ),
        why,
    )


def unrecorded(name: str, type: str) -> ArtifactVersion:  # noqa: A002 - the field's name
    """What stands in for a version that no store took."""
    return ArtifactVersion(
        name=name,
        version=None,
        type=str(type),
        digest="",
        size_bytes=0,
        files=(),
        is_tree=False,
        format=None,
        run_id=None,
        created_at=datetime.now(UTC),
    )


def check_type(type: str) -> str:  # noqa: A002 - the field's name
    """`type`, if it can be an artifact's type.

    Raises:
        UsageError: It is not a lower-case word.
    """
    if not isinstance(type, str) or not _TYPE.fullmatch(type):
        raise UsageError(
            f"{type!r:.80} cannot be an artifact's type: use a lower-case word such as 'model', "
            "with digits and _"
        )
    return type


def plain_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """`metadata` as it is stored: JSON-like, without secrets.

    Raises:
        UsageError: It is no mapping, or has what cannot be stored.
    """
    plain = to_plain(metadata or {})
    if not isinstance(plain, dict):
        raise UsageError(f"metadata is a {type(metadata).__name__}; give a dict")
    redacted: dict[str, Any] = storable(redact_plain(plain))
    return redacted


def _pinned(
    store: Store, parents: Iterable[str], found: Iterable[ArtifactVersion]
) -> tuple[str, ...]:
    """What is `found`, and the versions that `parents` mean now, each once: ``latest`` may move."""
    given = references("parents", parents)
    resolved = (store.resolve(parse_reference(parent)) for parent in given)
    return tuple(dict.fromkeys(version.ref for version in (*found, *resolved)))


def _put(
    store: Store, name: str, data: Any, file_path: str | Path | None, *, pickle: bool
) -> _Content:
    """The content in the store: of a file or directory, or of a value."""
    if (data is None) == (file_path is None):
        raise UsageError(f"artifact {name!r} needs exactly one of data and file_path")
    path = data if isinstance(data, os.PathLike) else file_path
    if path is not None:
        return _put_path(store, Path(path).expanduser())
    from instrument.artifacts.values import put_value  # a path needs no serialiser

    file, form = put_value(store, name, data, pickle=pickle)
    return _Content(file.digest, (file,), is_tree=False, format=form)


def _put_path(store: Store, path: Path) -> _Content:
    if path.is_dir():
        if Path(store.location).absolute().is_relative_to(path.absolute()):
            raise UsageError(f"{path} holds the store {store.location} itself; log a part of it")
        files = put_tree(store, path)
        return _Content(store.put_bytes(listing(files)), files, is_tree=True, format=None)
    if not path.exists():
        raise NotFoundError(f"{path} does not exist; give the path of a file or a directory")
    (stored,) = put_with_progress(store, path.name, [path.resolve()])
    file = msgspec.structs.replace(stored, path=path.name)
    return _Content(file.digest, (file,), is_tree=False, format=None)
