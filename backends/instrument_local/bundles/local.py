"""The bundles of a local store: see `instrument.protocols.bundles.Bundles`."""

from collections.abc import Sequence
from pathlib import Path

from instrument.errors import NotFoundError
from instrument.protocols import Clock
from instrument.protocols.bundles import Bundles, Export, Import
from instrument_local.bundles.checking import check
from instrument_local.bundles.exporting import export
from instrument_local.bundles.importing import Importer, tell
from instrument_local.bundles.planning import Plan
from instrument_local.bundles.reading import Bundle
from instrument_local.bundles.selecting import Selection
from instrument_local.copying import Told, nobody
from instrument_local.files import store_errors
from instrument_local.layout import Layout
from instrument_local.ledger.notes import parse_key
from instrument_local.summaries import Summaries
from instrument_local.versions import LocalVersions


class LocalBundles:
    """See `instrument.protocols.bundles.Bundles`.

    Args:
        layout: Where the store keeps things.
        clock: The time.
        summaries: Its runs.
        versions: Its artifacts.
    """

    def __init__(
        self, layout: Layout, clock: Clock, summaries: Summaries, versions: LocalVersions
    ) -> None:
        self._layout = layout
        self._clock = clock
        self._summaries = summaries
        self._versions = versions

    def export(
        self,
        run_ids: Sequence[str],
        target: Path,
        *,
        max_object_bytes: int | None = None,
        why: str | None = None,
        told: Told | None = None,
    ) -> Export:
        """See `instrument.protocols.bundles.Bundles`."""
        if not run_ids:
            raise NotFoundError("no run was named; name one at least")
        with store_errors("export"):
            selection = Selection(
                self._layout, self._summaries, self._versions, run_ids, max_object_bytes
            )
            return export(
                self._layout, self._clock, selection, target.absolute(), why, told or nobody
            )

    def import_(  # noqa: PLR0913 - one parameter for each way to do it
        self,
        source: Path,
        *,
        keys: Sequence[str] = (),
        dry_run: bool = False,
        again: bool = False,
        why: str | None = None,
        told: Told | None = None,
    ) -> Import:
        """See `instrument.protocols.bundles.Bundles`."""
        trusted = [parse_key(key) for key in keys]
        with store_errors(f"import {source}"), Bundle(source) as bundle:
            checked = check(bundle, trusted, told or nobody)
            if dry_run:
                plan = Plan(self._layout, self._versions, checked, again=again)
                return tell(checked, plan, plan.objects)
            importer = Importer(self._layout, self._versions, checked, why, again=again)
            return importer.take_in(told or nobody)


def _check(bundles: LocalBundles) -> Bundles:
    """A static check: `LocalBundles` are `Bundles`."""
    return bundles
