"""What a record refers to: the objects that must be there because it names them.

Who checks, collects or exports a store asks here, so that all know the same references.
"""

from collections.abc import Iterator
from typing import NamedTuple

from instrument.records import (
    ArtifactLogged,
    ArtifactUsed,
    CodeCaptured,
    EnvironmentCaptured,
    Record,
    TelemetrySummarised,
)
from instrument.vocabulary import ArtifactVersion


class Said(NamedTuple):
    """What a record says of the version that it names, as in `ArtifactVersion`; None: nothing."""

    digest: str
    type: str | None = None
    size_bytes: int | None = None
    parents: tuple[str, ...] | None = None
    check: str | None = None

    def contradicted_by(self, version: ArtifactVersion) -> str | None:
        """The first field in which `version` is not what was said, or None."""
        for field, said in zip(self._fields, self, strict=True):
            if said is not None and getattr(version, field) != said:
                return field
        return None


def said_by(record: ArtifactLogged | ArtifactUsed, *, elsewhere: bool) -> Said:
    """What `record` says; `elsewhere`: another store's, where all but the content may differ."""
    if elsewhere:
        return Said(record.digest)
    if isinstance(record, ArtifactUsed):
        return Said(record.digest, record.type)
    parents = record.parents if record.check is None else None  # else the check covers them
    return Said(record.digest, record.type, record.size_bytes, parents, record.check)


def objects_of(record: Record) -> Iterator[str]:
    """Digests of the objects that `record` names itself; those of artifacts its versions name."""
    match record:
        case EnvironmentCaptured(snapshot=snapshot, files=files):
            yield from filter(None, (snapshot, *files.values()))
        case CodeCaptured(patch=patch, manifest=manifest, script=script, cells=cells):
            yield from filter(None, (patch, manifest, script, cells))
        case TelemetrySummarised(columns=columns):
            yield from columns
