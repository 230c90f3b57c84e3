"""Whether the bytes of a version are in the store: gc, or a bundle without them, leaves a name."""

from datetime import datetime

from instrument.errors import InstrumentError, NotFoundError
from instrument.naming import LATEST, Reference
from instrument.protocols import Store
from instrument.vocabulary import ArtifactVersion


def why_lacking(store: Store, version: ArtifactVersion) -> str | None:
    """Why `store` lacks bytes of `version`, and how they come back; None where all are there."""
    for file in version.files:
        if not store.contains(file.digest):
            try:
                store.open(file.digest).close()  # gc may be thinking it over
            except InstrumentError as error:
                return str(error)
    return None


def roll_back(
    store: Store, version: ArtifactVersion, at: datetime, why: str | None = None
) -> ArtifactVersion:
    """Point ``latest`` at `version`.

    Raises:
        NotFoundError: Its bytes are not here, so `latest` could not be read.
    """
    lacking = why_lacking(store, version)
    if lacking is not None:
        raise NotFoundError(f"{version.ref} cannot become latest: {lacking}")
    return store.tag(Reference(version.name, version.version, None), LATEST, at, why)
