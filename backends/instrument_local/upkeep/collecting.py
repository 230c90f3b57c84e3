"""Removes objects so that nobody who stores or refers to the same meanwhile loses anything.

1. What goes, and why, is noted for the ledger: no object is ever missing without an explanation.
2. The objects move to ``trash/``. Whoever stores the same content now finds nothing and stores it
   anew; whoever found it a moment before has made it young (`instrument_local.ingest`).
3. Everything is looked at once more. What became young, or is wanted by now, goes back.
4. The rest is removed.

What a collection leaves that was interrupted goes back before the next one begins, so a crash has
removed what it had removed and nothing else. Who reads an object finds it in ``trash/``, too.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from instrument.audit import ObjectsDropped
from instrument.protocols.upkeep import Drop, Plan, Scope
from instrument_local.files import is_directory, store_errors
from instrument_local.layout import Layout
from instrument_local.ledger.pending import note, this_user
from instrument_local.maintenance import Maintenance, maintenance
from instrument_local.mounts import mount_of
from instrument_local.upkeep.planning import Planner, objects_in

# Another host may know a name for so long after it went (nfs(5): acdirmax, acregmax).
NETWORK_SECONDS: Final = 120.0
_EVENT_DIGESTS: Final = 1000
_CHECKED_EVERY: Final = 256
_T = TypeVar("_T")


class Collector:
    """Carries plans out.

    Args:
        layout: Where the store keeps things.
        planner: Plans.
        told: Called with the number of bytes that were removed since the last call.
    """

    def __init__(self, layout: Layout, planner: Planner, told: Callable[[int], None]) -> None:
        self._layout = layout
        self._planner = planner
        self._told = told
        self._disk = layout.files.disk

    def collect(self, scope: Scope, why: str | None) -> Plan:
        """Remove what the plan of now tells; what was removed."""
        with store_errors("collect"), maintenance(self._layout, "gc") as held:
            self._put_back(self._trash())
            plan = self._planner.plan(scope)
            try:
                self._note(plan, why)
                self._move(plan, held)
                self._settle()
                again = self._planner.plan(scope)
            except BaseException:
                with suppress(OSError):
                    self._put_back(self._trash())
                raise
            return self._remove(plan, _digests(again), held)

    def drop(self, drops: Sequence[Drop], why: str | None, held: Maintenance) -> None:
        """Remove the objects of `drops` at once and durably, whoever may want them."""
        plan = Plan(drops=tuple(drops), objects=0, size_bytes=0, kept={}, young=0, leftovers=())
        self._put_back(self._trash())
        self._note(plan, why)
        self._move(plan, held)
        self._remove(plan, _digests(plan), held)
        lay_at = (self._layout.object_path(digest) for digest in _digests(plan))
        directories = {path.parent for path in lay_at if path is not None} | {self._layout.trash}
        for directory in filter(is_directory, directories):
            self._layout.files.sync_directory(directory)

    def _note(self, plan: Plan, why: str | None) -> None:
        lying, by_rule = objects_in(self._layout), dict[str, list[str]]()
        for drop in plan.drops:
            by_rule.setdefault(drop.rule, []).extend(drop.digests)
        for rule, digests in by_rule.items():
            for start in range(0, len(digests), _EVENT_DIGESTS):
                some = tuple(digests[start : start + _EVENT_DIGESTS])
                event = ObjectsDropped(
                    at=datetime.now(UTC),
                    who=this_user(),
                    why=why,
                    digests=some,
                    size_bytes=sum(lying[digest].size_bytes for digest in some),
                    rule=rule,
                )
                note(self._layout, event)

    def _move(self, plan: Plan, held: Maintenance) -> None:
        self._layout.files.make_durable_directory(self._layout.trash)
        for digest in _checking(_digests(plan), held):
            source = self._layout.object_path(digest)
            if source is not None:
                with suppress(FileNotFoundError):
                    self._disk.rename(source, self._layout.trash / source.name)

    def _settle(self) -> None:
        if mount_of(self._layout.root).is_network:
            time.sleep(NETWORK_SECONDS)

    def _remove(self, plan: Plan, going: Collection[str], held: Maintenance) -> Plan:
        """Remove what is still going; what was removed."""
        lying = objects_in(self._layout)
        self._put_back([path for path in self._trash() if f"sha256:{path.name}" not in going])
        removed = set()
        for path in _checking(self._trash(), held):
            self._disk.unlink(path)
            digest = f"sha256:{path.name}"
            removed.add(digest)
            self._told(lying[digest].size_bytes)
        sizes = {digest: lying[digest].size_bytes for digest in removed}
        drops = tuple(kept for drop in plan.drops if (kept := _only(drop, sizes)))
        return msgspec.structs.replace(
            plan,
            drops=drops,
            objects=len(removed),
            size_bytes=plan.size_bytes
            - sum(drop.size_bytes for drop in plan.drops)
            + sum(sizes.values()),
        )

    def _put_back(self, paths: list[Path]) -> None:
        """Put objects back, but not over what was stored meanwhile."""
        for path in paths:
            target = self._layout.object_path(f"sha256:{path.name}")
            if target is not None:
                self._layout.files.place(path, target)
            with suppress(FileNotFoundError):
                self._disk.unlink(path)

    def _trash(self) -> list[Path]:
        return sorted(self._layout.trash.glob("*"))


def _digests(plan: Plan) -> set[str]:
    return {digest for drop in plan.drops for digest in drop.digests}


def _only(drop: Drop, sizes: dict[str, int]) -> Drop | None:
    """`drop` with those of its objects that have a size in `sizes`."""
    digests = tuple(digest for digest in drop.digests if digest in sizes)
    size_bytes = sum(sizes[digest] for digest in digests)
    if not digests:
        return None
    return msgspec.structs.replace(drop, digests=digests, size_bytes=size_bytes)


def _checking(items: Iterable[_T], held: Maintenance) -> Iterator[_T]:
    """The items; now and then the lock is looked at."""
    for number, item in enumerate(items):
        if number % _CHECKED_EVERY == 0:
            held.check()
        yield item
