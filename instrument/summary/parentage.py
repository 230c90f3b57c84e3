"""What versions were made from, by all that is recorded of it."""

from collections.abc import Collection, Iterable, Mapping, Reversible
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter

from instrument.summary.run import RunSummary
from instrument.vocabulary import ArtifactVersion


def made_from(
    versions: Iterable[ArtifactVersion], runs: Reversible[RunSummary]
) -> dict[str, tuple[str, ...]]:
    """For each version the references of what it was made from.

    First the parents that its own file has: those of its first logging. Then what runs made it from
    that logged it again, the oldest run first; but for what was itself made from the version, so
    that what runs add never leads in a circle.

    Args:
        versions: The versions, with all that they were made from in the end.
        runs: Runs, newest first; only those that logged something again tell anything.
    """
    parents = {version.ref: dict.fromkeys(version.parents) for version in versions}
    again = {
        (ref, parent): None
        for run in reversed(runs)
        for ref, said in run.logged_again.items()
        for parent in said
    }
    free = _on_no_circle(parents, again) if again else set()
    made_of: dict[str, set[str]] = {}  # as far as it was looked for
    for ref, parent in again:
        own = made_of.setdefault(ref, {ref})
        if ref in free or parent in free or not _comes_from(parent, own, parents, free):
            parents.setdefault(ref, {})[parent] = None
        else:
            own.add(parent)
    return {ref: tuple(found) for ref, found in parents.items()}


def _on_no_circle(
    parents: Mapping[str, Collection[str]], again: Iterable[tuple[str, str]]
) -> set[str]:
    """Versions that come from no circle, not even if all that runs say were so."""
    sorter = TopologicalSorter(parents)
    for ref, parent in again:
        sorter.add(ref, parent)
    with suppress(CycleError):
        sorter.prepare()
    free = set[str]()
    while sorter.is_active():
        ready = sorter.get_ready()
        free.update(ready)
        sorter.done(*ready)
    return free


def _comes_from(
    ref: str, sources: set[str], parents: Mapping[str, Collection[str]], free: set[str]
) -> bool:
    """Whether `ref` is one of `sources`, or was made from one; nothing that is `free` was."""
    seen = {ref}
    for each in (waiting := [ref]):
        if each in sources:
            return True
        found = [up for up in parents.get(each, ()) if up not in seen and up not in free]
        waiting += found
        seen.update(found)
    return False
