"""The versions that a run leaves when it is deleted: from then on the ledger alone binds them.

What a version was the records of the run say, not its file: what was done to the file before stays
found. Where no seal vouches for those, or none of them names the version, the entry says `late`.
"""

from collections.abc import Iterator
from contextlib import suppress

from instrument.errors import IntegrityError
from instrument.records import ArtifactLogged
from instrument_local.imported import Origins
from instrument_local.layout import Layout, RunFiles
from instrument_local.ledger.integrate import known_to
from instrument_local.ledger.log import Log
from instrument_local.ledger.pending import note_versions
from instrument_local.lines import genesis, parse_line
from instrument_local.upkeep.references import checked_lines
from instrument_local.verify_runs import changed_files
from instrument_local.versions import LocalVersions


def note_left_versions(layout: Layout, versions: LocalVersions, run_id: str, why: str) -> None:
    """Note for the ledger what the run made, unless that is there: before the run goes.

    Raises:
        StoreError: It cannot be written.
        IntegrityError: The ledger is damaged.
        OSError: The run cannot be read.
    """
    files = layout.run_files(run_id)
    logged: dict[str, str] = {}
    for ref, check in _logged(run_id, files):
        logged.setdefault(ref, check)  # what was said first holds
    made = {each.ref: str(each.check) for each in versions.artifacts() if each.run_id == run_id}
    known = known_to(Log(layout)) if logged or made else set()
    is_sealed = bool(files.seals) and not changed_files(layout, run_id)
    for late in (False, True):
        checks = {
            ref: check
            for ref, check in (made | logged).items()
            if ref not in known and late != (is_sealed and ref in logged)
        }
        note_versions(layout, checks, f"run {run_id} is removed: {why}", late=late)


def _logged(run_id: str, files: RunFiles) -> Iterator[tuple[str, str]]:
    """The checks that the run recorded, by reference; those of an import are of other files."""
    with suppress(IntegrityError):  # what follows damage is not believed
        origins = Origins(files.facts)
        for journal in files.journals:
            if origins.of(journal) is not None:
                continue
            with suppress(IntegrityError):
                for line in checked_lines(journal, genesis(run_id, journal.stem)):
                    if line.endswith(b"\n"):
                        record = parse_line(line, journal.stem).record
                        if isinstance(record, ArtifactLogged) and record.check is not None:
                            yield record.ref, record.check
