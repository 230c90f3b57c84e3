"""What a record refers to: the objects that must be there because it names them.

Who checks, collects or exports a store asks here, so that all know the same references.
"""

from collections.abc import Iterator

from instrument.records import CodeCaptured, EnvironmentCaptured, Record, TelemetrySummarised


def objects_of(record: Record) -> Iterator[str]:
    """Digests of the objects that `record` names itself; those of artifacts its versions name."""
    match record:
        case EnvironmentCaptured(snapshot=snapshot, files=files):
            yield from filter(None, (snapshot, *files.values()))
        case CodeCaptured(patch=patch, manifest=manifest, script=script):
            yield from filter(None, (patch, manifest, script))
        case TelemetrySummarised(columns=columns):
            yield from columns
