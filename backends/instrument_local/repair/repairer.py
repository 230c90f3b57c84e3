"""Repairs one store: what is done, in which order, and that the ledger knows first."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from instrument.audit import Repaired
from instrument.errors import InstrumentError
from instrument.protocols import Verification
from instrument.protocols.repair import Repair, RepairStep
from instrument_local.files import store_errors
from instrument_local.layout import Layout
from instrument_local.ledger.pending import note, this_user
from instrument_local.liveness import Markers
from instrument_local.maintenance import Maintenance, maintenance
from instrument_local.quarantine import Quarantine
from instrument_local.repair.abandoned_runs import AbandonedRuns
from instrument_local.repair.damage import DamageControl
from instrument_local.repair.elsewhere import lying_elsewhere
from instrument_local.repair.plan import Plan
from instrument_local.repair.sources import Sources
from instrument_local.repair.spools import Spools
from instrument_local.summaries import Summaries


class Repairer:
    """One repair of a store.

    Args:
        layout: Where the store keeps things.
        verify: Checks all of it.
    """

    def __init__(self, layout: Layout, verify: Callable[[], Verification]) -> None:
        markers = Markers(layout)
        self._layout = layout
        self._abandoned = AbandonedRuns(layout, markers, Summaries(layout, markers))
        self._verify = verify
        self._steps: list[RepairStep] = []

    def repair(self, *, dry_run: bool, why: str | None, sources: Sequence[Path]) -> Repair:
        """See `instrument.protocols.repair.Repairs`."""
        before, lacked = self._verify(), self._layout.lacks_format()
        plans = self._plans(before, Quarantine(self._layout, why), sources)
        if lacked:
            plans = chain([self._format()], plans)
        with store_errors("repair the store"):
            if dry_run:
                self._steps = [self._step(plan) for plan in plans]
                return self._told(before, sources, dry_run=True)
            with maintenance(self._layout, "repair") as held:
                for plan in plans:
                    self._do(plan, why, held)
        after = self._verify() if self._steps else before
        return self._told(after, sources, dry_run=False)

    def _told(self, found: Verification, sources: Sequence[Path], *, dry_run: bool) -> Repair:
        elsewhere = lying_elsewhere(self._layout, sources, found.problems)
        steps = tuple(self._steps)
        return Repair(dry_run=dry_run, steps=steps, verification=found, elsewhere=elsewhere)

    def _format(self) -> Plan:
        """The file FORMAT, which the first step writes again, told apart from what follows."""
        told = self._layout.store_id
        detail = "with the id that the ledger tells" if told else "nothing tells its id: a new one"
        path = self._layout.root / "FORMAT"
        return Plan(path, "format_missing", "restored", detail, self._layout.create)

    def _plans(
        self, found: Verification, quarantine: Quarantine, sources: Sequence[Path]
    ) -> Iterator[Plan]:
        """All steps. Each part looks at the store as the parts before have left it."""
        yield from self._abandoned.half_packed()
        yield from Spools(self._layout, sources).waiting()
        yield from DamageControl(self._layout, quarantine, Sources(self._layout, sources)).plans(
            found.problems
        )
        yield from self._abandoned.unsealed()
        yield from self._abandoned.dead_markers()

    def _do(self, plan: Plan, why: str | None, held: Maintenance) -> None:
        """Tell the ledger, then do it; what fails is told, and the rest is done all the same."""
        held.check()
        step = self._step(plan)
        event = Repaired(
            at=datetime.now(UTC),
            who=this_user(),
            why=why,
            path=step.path,
            kind=step.kind,
            action=step.action,
        )
        try:
            note(self._layout, event)
            plan.do()
        except (InstrumentError, OSError) as error:
            step = self._step(plan, str(error))
        self._steps.append(step)

    def _step(self, plan: Plan, error: str | None = None) -> RepairStep:
        return RepairStep(
            path=self._layout.relative(plan.path),
            kind=plan.kind,
            action=plan.action,
            detail=plan.detail,
            error=error,
        )
