"""The page of ``instrument artifacts show``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from instrument.cli.output import facts, section, table, text
from instrument.cli.words import ago, listed, moment, size, value_text
from instrument.errors import InstrumentError
from instrument.protocols import Store
from instrument.protocols.upkeep import HasUpkeep
from instrument.vocabulary import ArtifactVersion

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

_MOST_FILES = 50


def artifact_page(store: Store, version: ArtifactVersion, parents: Sequence[str]) -> "Group":
    """Everything about `version`, which was made from `parents`."""
    from rich.console import Group
    from rich.text import Text

    lines = [
        ("type", version.type + (f", written as {version.format}" if version.format else "")),
        ("made", f"{moment(version.created_at)} ({ago(version.created_at)})"),
        ("by run", version.run_id or "none: it was logged by hand"),
        ("made from", listed(parents) or "-"),
        *([("imported", f"from {version.origin}")] if version.origin else []),
        ("aliases", listed(version.aliases) or "-"),
        ("size", size(version.size_bytes)),
        ("digest", version.digest),
        *_collected(store, version),
    ]
    pages: list[RenderableType] = [text(version.ref, "bold"), Text(), facts(lines)]
    if version.metadata:
        named = [(name, value_text(value)) for name, value in version.metadata.items()]
        pages += [Text(), *section("metadata", facts(named))]
    pages += [Text(), *section("files", _files(store, version))]
    return Group(*pages)


def _collected(store: Store, version: ArtifactVersion) -> list[tuple[str, str]]:
    """When, by whom and why bytes of it were let go, while they are not there."""
    gone = [file.digest for file in version.files if not store.contains(file.digest)]
    if not gone or not isinstance(store, HasUpkeep):
        return []
    try:
        event = store.upkeep.dropped_objects().get(gone[0])
    except InstrumentError:
        from instrument.artifacts.presence import why_lacking

        damaged = ("ledger", "damaged: `instrument verify` says how")
        return [("bytes", why_lacking(store, version) or "here again"), damaged]
    if event is None:
        return []
    which = "" if len(gone) == len(version.files) else f"{len(gone)} files, "
    who = f"{event.who.user or event.who.uid}@{event.who.host}"
    why = f", because {event.why}" if event.why else ""
    told = f"{which}{moment(event.at)} by {who}, by the rules {event.rule}{why}"
    return [("collected", told)]


def _files(store: Store, version: ArtifactVersion) -> "RenderableType":
    """The files, and where in the store their bytes lie."""
    rows = []
    for file in version.files[:_MOST_FILES]:
        lies = store.path_of(file.digest)
        where = str(lies) if lies is not None else file.digest
        rows.append([file.path, size(file.size_bytes), where])
    if len(version.files) > _MOST_FILES:
        rows.append(["…", f"+{len(version.files) - _MOST_FILES}", "--json shows all"])
    return table(["path", "size", "lies at"], rows, numeric=("size",))
