"""Which objects go: of what the rules let go, those that nothing needs and that are old enough."""

import os
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from instrument.errors import HeldError
from instrument.protocols.upkeep import Drop, Plan, Scope
from instrument.summary import RunSummary
from instrument_local.files import store_errors
from instrument_local.layout import Layout
from instrument_local.liveness import Markers, server_time
from instrument_local.upkeep import holds
from instrument_local.upkeep.abandoned_files import abandoned_files
from instrument_local.upkeep.policies import Catalogue, Item, choose
from instrument_local.upkeep.references import References
from instrument_local.versions import LocalVersions


class Lying(NamedTuple):
    """An object that is there.

    Attributes:
        path: Its file: in ``objects/``, or in ``trash/`` while it is being removed.
        size_bytes: Its length.
        modified: When it was written, or was last found to be there by who stored the same again.
    """

    path: str
    size_bytes: int
    modified: float


class Planner:
    """Plans collections. One that plans again reads only what has changed.

    Args:
        layout: Where the store keeps things.
        versions: Its artifacts.
        markers: Who is recording.
        runs: Tells all runs, newest first.
    """

    def __init__(
        self,
        layout: Layout,
        versions: LocalVersions,
        markers: Markers,
        runs: Callable[[], list[RunSummary]],
    ) -> None:
        self._layout = layout
        self._markers = markers
        self._runs = runs
        self._references = References(layout, versions)

    def plan(self, scope: Scope) -> Plan:
        """See `instrument.protocols.upkeep.Upkeep`."""
        with store_errors("find out what refers to what; nothing was removed"):
            now = server_time(self._layout)
            lying = objects_in(self._layout)  # first: what comes later is not looked at
            catalogue = self._catalogue(lying)
            going, kept = _going(scope, catalogue, datetime.fromtimestamp(now, UTC))
            needed = _digests(item for item in catalogue.items if item.subject not in going)
            choosing = _Choosing(lying, now - scope.grace_seconds, needed)
            drops = [drop for each in going.values() if (drop := choosing.drop(*each))]
            if scope.unreferenced:
                drops += choosing.unreferenced(self._references.mentioned)
            left = abandoned_files(self._layout, self._markers, scope) if scope.unreferenced else {}
        return Plan(
            drops=tuple(drops),
            objects=sum(len(drop.digests) for drop in drops),
            size_bytes=sum(drop.size_bytes for drop in drops) + sum(left.values()),
            kept=dict(kept),
            young=len(choosing.young),
            leftovers=tuple(left),
        )

    def _catalogue(self, lying: Collection[str]) -> Catalogue:
        alive = self._markers.alive_run_ids()
        self._references.refresh()
        named = self._references
        makers = {version.ref: version.run_id for version in named.versions}
        held = holds.holds(self._layout)
        covered = holds.covered(held, named.runs, makers)
        return Catalogue(self._runs(), named.runs, named.versions, covered, alive, lying)


def objects_in(layout: Layout) -> dict[str, Lying]:
    """The objects of the store, by digest.

    Raises:
        OSError: A directory cannot be read.
    """
    found: dict[str, Lying] = {}
    for directory in (layout.trash, *sorted(layout.objects.glob("??"))):
        try:
            entries = list(os.scandir(directory))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            digest = f"sha256:{entry.name}"
            if stat.S_ISREG(status.st_mode) and layout.object_path(digest) is not None:
                found[digest] = Lying(entry.path, status.st_size, status.st_mtime)
    return found


class _Choosing:
    """Divides the objects among those who let them go."""

    def __init__(self, lying: dict[str, Lying], newest: float, needed: set[str]) -> None:
        self._lying = lying
        self._newest = newest
        self._taken = needed
        self.young: set[str] = set()

    def drop(self, item: Item, rule: str) -> Drop | None:
        """What goes with `item`; None when nothing does."""
        digests = self._take(item.digests)
        if not digests:
            return None
        return Drop(
            subject=item.subject,
            type=item.type,
            made_at=item.made_at,
            rule=rule,
            digests=digests,
            size_bytes=self._size(digests),
        )

    def unreferenced(self, mentioned: set[str]) -> Iterator[Drop]:
        """The objects that nothing names."""
        digests = self._take(self._lying.keys() - mentioned)
        if digests:
            yield Drop(
                subject=None,
                type="unreferenced",
                made_at=None,
                rule="--unreferenced",
                digests=digests,
                size_bytes=self._size(digests),
            )

    def _take(self, digests: Iterable[str]) -> tuple[str, ...]:
        own = {digest for digest in digests if digest in self._lying} - self._taken
        young = {digest for digest in own if self._lying[digest].modified > self._newest}
        self.young |= young
        self._taken |= own
        return tuple(sorted(own - young))

    def _size(self, digests: Iterable[str]) -> int:
        return sum(self._lying[digest].size_bytes for digest in digests)


def _going(
    scope: Scope, catalogue: Catalogue, now: datetime
) -> tuple[dict[str, tuple[Item, str]], Counter[str]]:
    """What goes, by subject, each with the rules that let it go; and what each rule keeps.

    Raises:
        HeldError: Some of it is held.
    """
    going: dict[str, tuple[Item, str]] = {}
    kept, staying = Counter[str](), set[str]()
    for policy in scope.policies:
        chosen = choose(policy, catalogue, now)
        going.update({item.subject: (item, policy.text) for item in chosen.going})
        kept += chosen.kept
        staying |= chosen.staying
    for subject in staying & going.keys():
        del going[subject]
    left = (subject for subject, (item, _) in going.items() if not catalogue.is_gone(item))
    held = [subject for subject in left if subject in catalogue.held]
    if held:
        raise HeldError(_refusal(held, catalogue))
    return going, kept


def _refusal(held: list[str], catalogue: Catalogue) -> str:
    by = sorted({catalogue.held[subject] for subject in held})
    more = f" and {len(held) - 1} more" if len(held) > 1 else ""
    return (
        f"the rules let go of {held[0]}{more}, which the hold on {', '.join(by[:5])} forbids; "
        "nothing was removed: add `--keep held`, or see `instrument hold list`"
    )


def _digests(items: Iterable[Item]) -> set[str]:
    return {digest for item in items for digest in item.digests}
