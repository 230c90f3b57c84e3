"""An artifact version as W&B's own kind of artifact."""

import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instrument.protocols import Objects
from instrument.vocabulary import ArtifactVersion, File

if TYPE_CHECKING:
    import wandb


def to_wandb(version: ArtifactVersion, objects: Objects) -> "wandb.Artifact":
    """The W&B artifact that repeats `version`; its files are referred to, not copied.

    An object that is no plain file in the store is copied to W&B's staging directory.

    Raises:
        NotFoundError: An object is not there.
        IntegrityError: An object does not match its digest.
    """
    import wandb

    artifact = wandb.Artifact(
        _valid_name(version.name), _valid_type(version.type), metadata=_metadata(version)
    )
    for file in version.files:
        _add(artifact, file, objects)
    return artifact


def _metadata(version: ArtifactVersion) -> dict[str, Any]:
    """What W&B cannot know: its own digest is an MD5, its versions count from 0."""
    return {
        "ref": version.ref,
        "digest": version.digest,
        "size_bytes": version.size_bytes,
        "format": version.format,
        "parents": list(version.parents),
        "files": {file.path: file.digest for file in version.files},
        "metadata": version.metadata,
    }


def _add(artifact: "wandb.Artifact", file: File, objects: Objects) -> None:
    path = objects.path_of(file.digest)
    if path is not None:
        artifact.add_file(str(path), name=file.path, policy="immutable", skip_cache=True)
        return
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "object"
        with objects.open(file.digest) as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target)
        artifact.add_file(str(copy), name=file.path, policy="mutable", skip_cache=True)


def _valid_name(name: str) -> str:
    """W&B allows letters, digits, ``_ - .`` only; the true name is in the metadata's ``ref``."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)


def _valid_type(name: str) -> str:
    """W&B keeps ``job`` and ``wandb-…`` for itself."""
    name = re.sub(r"[/:]", "-", name)
    return f"instrument-{name}" if name == "job" or name.startswith("wandb-") else name
