"""The upkeep of a local store: joins the parts into what `instrument.protocols.upkeep` asks for."""

from collections.abc import Callable
from datetime import datetime

from instrument.audit import ObjectsDropped, RunDropped
from instrument.errors import NotFoundError
from instrument.naming import parse_reference
from instrument.protocols.upkeep import Hold, Plan, Scope, Upkeep
from instrument.summary import RunSummary
from instrument_local.copying import nobody
from instrument_local.layout import Layout
from instrument_local.liveness import Markers
from instrument_local.summaries import Summaries
from instrument_local.upkeep import holds, tombstones
from instrument_local.upkeep.abandoned_files import clear
from instrument_local.upkeep.collecting import Collector
from instrument_local.upkeep.deleting import Deleter
from instrument_local.upkeep.planning import Planner
from instrument_local.versions import LocalVersions


class LocalUpkeep:
    """See `instrument.protocols.upkeep.Upkeep`.

    Args:
        layout: Where the store keeps things.
        versions: Its artifacts.
        markers: Who is recording.
        summaries: Its runs.
        runs: Tells all runs, newest first.
    """

    def __init__(
        self,
        layout: Layout,
        versions: LocalVersions,
        markers: Markers,
        summaries: Summaries,
        runs: Callable[[], list[RunSummary]],
    ) -> None:
        self._layout = layout
        self._versions = versions
        self._markers = markers
        self._summaries = summaries
        self._planner = Planner(layout, versions, markers, runs)

    def plan(self, scope: Scope) -> Plan:
        """See `instrument.protocols.upkeep.Upkeep`."""
        return self._planner.plan(scope)

    def collect(
        self, scope: Scope, why: str | None = None, told: Callable[[int], None] | None = None
    ) -> Plan:
        """See `instrument.protocols.upkeep.Upkeep`."""
        done = Collector(self._layout, self._planner, told or nobody).collect(scope, why)
        clear(self._layout, self._summaries, done.leftovers)
        return done

    def holds(self) -> list[Hold]:
        """See `instrument.protocols.upkeep.Upkeep`."""
        return list(holds.holds(self._layout).values())

    def hold(self, subject: str, until: datetime | None, why: str | None) -> None:
        """See `instrument.protocols.upkeep.Upkeep`."""
        if until is not None:
            self._check_subject(subject)
        holds.change(self._layout, subject, until, why)

    def delete_run(self, run_id: str, why: str, *, redact: bool = False) -> RunDropped:
        """See `instrument.protocols.upkeep.Upkeep`."""
        deleter = Deleter(self._layout, self._versions, self._markers)
        return deleter.delete(run_id, why, redact=redact)

    def dropped_objects(self) -> dict[str, ObjectsDropped]:
        """See `instrument.protocols.upkeep.Upkeep`."""
        return tombstones.dropped_objects(self._layout)

    def dropped_runs(self) -> dict[str, RunDropped]:
        """See `instrument.protocols.upkeep.Upkeep`."""
        return tombstones.dropped_runs(self._layout)

    def is_half_deleted(self, run_id: str) -> bool:
        """See `instrument.protocols.upkeep.Upkeep`."""
        return self._layout.has_run(run_id) and run_id in self.dropped_runs()

    def _check_subject(self, subject: str) -> None:
        if ":" in subject:
            self._versions.resolve(parse_reference(subject))
        elif not self._layout.has_run(subject):
            raise NotFoundError(f"there is no run {subject}; `instrument runs list` shows them")


def _check(upkeep: LocalUpkeep) -> Upkeep:
    """A static check: a `LocalUpkeep` is an `Upkeep`."""
    return upkeep
