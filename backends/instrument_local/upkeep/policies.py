"""Which versions, and which captures of runs, the rules of a policy let go."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final, NamedTuple, TypeVar

from instrument.naming import LATEST
from instrument.protocols.upkeep import CAPTURE, Keep, Policy
from instrument.query import Condition, matches
from instrument.summary import RunSummary
from instrument.summary.parentage import made_from
from instrument.vocabulary import ArtifactVersion
from instrument_local.upkeep.references import RunReferences, digests_of

_T = TypeVar("_T")


class Item(NamedTuple):
    """Something that a policy can let go: a version, or what was captured of a run.

    Attributes:
        subject: ``name:vN``, or the id of the run.
        type: Type of the version, or `CAPTURE`.
        made_at: When it was made; None when that is not known.
        maker: The run that made it first; None for what was logged by hand.
        digests: Its objects.
        is_here: Whether all of a version is there, or anything that was captured of a run; what is
            not here takes no place of what a rule counts.
        aliases: Aliases of the version, or of what the run made.
        metrics: Metrics that were given with it.
    """

    subject: str
    type: str
    made_at: datetime | None
    maker: str | None
    digests: frozenset[str]
    is_here: bool
    aliases: tuple[str, ...] = ()
    metrics: Mapping[str, object] = {}


class Catalogue:
    """Everything that a policy can ask about.

    Args:
        runs: All runs, newest first.
        references: What they name.
        versions: All versions.
        held: What is held, each with the subject of the hold.
        alive: Runs that are recording.
        lying: The objects that are there.
    """

    def __init__(  # noqa: PLR0913 - all that there is
        self,
        runs: Sequence[RunSummary],
        references: Mapping[str, RunReferences],
        versions: Sequence[ArtifactVersion],
        held: Mapping[str, str],
        alive: set[str],
        lying: Collection[str],
    ) -> None:
        self.runs = {run.id: run for run in runs}
        self.references = references
        self.held = held
        self.used = {ref for named in references.values() for ref in named.used}
        self._versions = versions
        self._lying = lying
        self.items = [*(_of_version(each, lying) for each in versions), *self._captures(versions)]
        self.living = {*alive, *self.around(alive)}

    def around(self, run_ids: set[str]) -> set[str]:
        """The versions that the runs made, made again or used."""
        named = [self.references[run_id] for run_id in run_ids if run_id in self.references]
        refs = {ref for each in named for ref in (*each.logged, *each.used)}
        return refs | {item.subject for item in self.items if item.maker in run_ids}

    def is_gone(self, item: Item) -> bool:
        """Whether nothing of it is there."""
        return not any(digest in self._lying for digest in item.digests)

    @cached_property
    def parents(self) -> Mapping[str, tuple[str, ...]]:
        """What each version was made from, by all runs that logged it."""
        return made_from(self._versions, self.runs.values())

    def metric(self, item: Item, name: str) -> float | None:
        """A metric that was given with the item, or the last of its run; None: it has none."""
        name = name.removeprefix("metrics.")
        run = self.runs.get(item.maker or "")
        value = item.metrics.get(name, run.metrics.get(name) if run is not None else None)
        try:
            number = float(value) if isinstance(value, (int, float, str)) else math.nan
        except ValueError:
            return None
        return None if math.isnan(number) else number

    def _captures(self, versions: Sequence[ArtifactVersion]) -> Iterator[Item]:
        aliases: dict[str, set[str]] = {}
        for version in versions:
            aliases.setdefault(version.run_id or "", set()).update(version.aliases)
        for run_id, named in self.references.items():
            run = self.runs.get(run_id)
            at = run.started_at if run is not None else None
            tagged = tuple(sorted(aliases.get(run_id, ())))
            captured = named.captured
            is_here = not captured or any(digest in self._lying for digest in captured)
            yield Item(run_id, CAPTURE, at, run_id, captured, is_here, tagged)


class Chosen(NamedTuple):
    """What a policy lets go.

    Attributes:
        going: What goes, unless another policy keeps it.
        staying: Subjects that its rules keep.
        kept: How many items, of those that are here, each rule keeps.
    """

    going: list[Item]
    staying: set[str]
    kept: Counter[str]


def choose(policy: Policy, catalogue: Catalogue, now: datetime) -> Chosen:
    """Apply `policy`."""
    selected = list(_selected(policy, catalogue, now))
    left = [item for item in selected if not catalogue.is_gone(item)]
    kept, staying = Counter[str](), set[str]()
    for rule in policy.keep:
        found = list(_KEPT[rule.kind](rule, policy, catalogue, left))
        kept[rule.text] += sum(item.is_here for item in found)
        staying.update(item.subject for item in found)
    going = [item for item in selected if item.subject not in staying]
    if policy.keep_parents:
        going = _without_parents(going, catalogue)
        staying |= {item.subject for item in selected} - {item.subject for item in going}
    return Chosen(going, staying, kept)


def _selected(policy: Policy, catalogue: Catalogue, now: datetime) -> Iterator[Item]:
    met = _runs_that_meet(policy.where, catalogue)
    seconds = policy.older_than_seconds
    before = now - timedelta(seconds=seconds) if seconds is not None else None
    for item in _of_types(policy, catalogue):
        is_old = before is None or (item.made_at is not None and item.made_at < before)
        is_met = policy.where is None or item.maker in met
        if is_old and is_met and item.subject not in catalogue.living:
            yield item


def _of_types(policy: Policy, catalogue: Catalogue) -> Iterator[Item]:
    for item in catalogue.items:
        by_default = not policy.types and item.type != CAPTURE and item.maker is not None
        if by_default or item.type in policy.types:
            yield item


def _runs_that_meet(where: Condition | None, catalogue: Catalogue) -> list[str]:
    """Ids of the runs that meet `where`, newest first."""
    runs = catalogue.runs.values()
    return [run.id for run in runs if where is None or matches(where, run)]


def _without_parents(going: list[Item], catalogue: Catalogue) -> list[Item]:
    """`going` without what anything that stays was made from, however long ago."""
    gone = {item.subject: item for item in going}
    waiting = [item for item in catalogue.items if item.subject not in gone]
    while waiting:
        parents = catalogue.parents.get(waiting.pop().subject, ())
        waiting += [gone.pop(parent) for parent in parents if parent in gone]
    return list(gone.values())


def _last(rule: Keep, policy: Policy, catalogue: Catalogue, selected: list[Item]) -> Iterator[Item]:
    emptied = _emptied(policy, catalogue)
    runs = _runs_that_meet(policy.where, catalogue)
    newest = set(_first(runs, rule.count, lambda run_id: run_id not in emptied))
    around = newest | catalogue.around(newest)
    return (item for item in selected if item.subject in around)


def _emptied(policy: Policy, catalogue: Catalogue) -> set[str]:
    """The runs that made or used something of these types, of which nothing is here any more."""
    around = list(_around(policy, catalogue))
    with_something = {run_id for run_id, item in around if item.is_here}
    return {run_id for run_id, _ in around} - with_something


def _around(policy: Policy, catalogue: Catalogue) -> Iterator[tuple[str, Item]]:
    """Each run with what it made, made again or used of the types of `policy`."""
    items = {item.subject: item for item in _of_types(policy, catalogue)}
    yield from ((item.maker, item) for item in items.values() if item.maker is not None)
    for run_id, named in catalogue.references.items():
        found = (items.get(ref) for ref in (*named.logged, *named.used))
        yield from ((run_id, item) for item in found if item is not None)


def _first(ranked: Iterable[_T], count: int, takes_place: Callable[[_T], bool]) -> Iterator[_T]:
    """The first of `ranked` until `count` of them took a place."""
    for each in ranked:
        if count == 0:
            return
        yield each
        count -= takes_place(each)


def _tagged(_: Keep, __: Policy, ___: Catalogue, selected: list[Item]) -> Iterator[Item]:
    return (item for item in selected if set(item.aliases) - {LATEST})


def _alias(rule: Keep, _: Policy, __: Catalogue, selected: list[Item]) -> Iterator[Item]:
    return (item for item in selected if rule.name in item.aliases)


def _used(_: Keep, __: Policy, catalogue: Catalogue, selected: list[Item]) -> Iterator[Item]:
    return (item for item in selected if item.subject in catalogue.used)


def _best(rule: Keep, _: Policy, catalogue: Catalogue, selected: list[Item]) -> Iterator[Item]:
    known = [(catalogue.metric(item, rule.name), item) for item in selected]
    ranked = sorted(
        ((value, item) for value, item in known if value is not None),
        key=lambda pair: pair[0],
        reverse=not rule.lowest,
    )
    return _first((item for _, item in ranked), rule.count, lambda item: item.is_here)


def _held(_: Keep, __: Policy, catalogue: Catalogue, selected: list[Item]) -> Iterator[Item]:
    return (item for item in selected if item.subject in catalogue.held)


_Rule = Callable[[Keep, Policy, Catalogue, list[Item]], Iterator[Item]]
_KEPT: Final[Mapping[str, _Rule]] = {
    "last": _last,
    "tagged": _tagged,
    "alias": _alias,
    "used": _used,
    "best": _best,
    "held": _held,
}


def _of_version(version: ArtifactVersion, lying: Collection[str]) -> Item:
    metrics = version.metadata.get("metrics")
    return Item(
        subject=version.ref,
        type=version.type,
        made_at=version.created_at,
        maker=version.run_id,
        digests=frozenset(digests_of(version)),
        is_here=all(file.digest in lying for file in version.files),
        aliases=version.aliases,
        metrics=metrics if isinstance(metrics, dict) else {},
    )
