"""What one version was made from: what the whole graph tells, by reading only its ancestors."""

from collections.abc import Iterator
from contextlib import suppress

from instrument.errors import InstrumentError
from instrument.naming import parse_reference
from instrument.protocols import Store
from instrument.query import Comparison
from instrument.summary import RunSummary
from instrument.summary.parentage import made_from
from instrument.vocabulary import ArtifactVersion


def parents_of(store: Store, version: ArtifactVersion) -> tuple[str, ...]:
    """References of what `version` was made from, by all runs that logged it."""
    runs = store.runs(Comparison("outputs", "contains", version.ref))
    said = {parent for run in runs for parent in run.logged_again.get(version.ref, ())}
    if said <= {*version.parents}:
        return version.parents
    return lineage_of(store, version)[version.ref]


def lineage_of(store: Store, version: ArtifactVersion) -> dict[str, tuple[str, ...]]:
    """For `version` and each of its ancestors, nearest first, what it was made from.

    An ancestor that cannot be read is among the parents of another, and has no entry.
    """
    runs = store.runs()
    known = {each.ref: each for each in _related(store, version, runs)}
    parents = made_from(known.values(), runs)
    lineage = {version.ref: parents[version.ref]}
    for ref in (waiting := [version.ref]):
        news = [parent for parent in lineage[ref] if parent in known and parent not in lineage]
        lineage |= {parent: parents[parent] for parent in news}
        waiting += news
    return lineage


def _related(
    store: Store, version: ArtifactVersion, runs: list[RunSummary]
) -> Iterator[ArtifactVersion]:
    """`version`, and all that anything says it comes from, as far as that can be read."""
    said: dict[str, list[str]] = {}
    for run in runs:
        for ref, parents in run.logged_again.items():
            said.setdefault(ref, []).extend(parents)
    seen = {version.ref}
    for ref in (waiting := [version.ref]):
        found = list(said.get(ref, ()))
        with suppress(InstrumentError):
            each = version if ref == version.ref else store.resolve(parse_reference(ref))
            found += each.parents
            yield each
        news = dict.fromkeys(parent for parent in found if parent not in seen)
        seen.update(news)
        waiting += news
