"""Send a run to a mirror after it has ended, at most once."""

from pathlib import Path

import msgspec

from instrument import registry
from instrument.clock import SystemClock
from instrument.errors import UsageError
from instrument.guard import one_line
from instrument.mirroring import marks
from instrument.mirroring.feed import MirrorReport, feed
from instrument.protocols import Mirror, Store
from instrument.records import ArtifactLogged
from instrument.vocabulary import RunState


def sync_run(store: Store, name: str, run_id: str, *, offline: bool, dry_run: bool) -> MirrorReport:
    """Send a run that has ended to mirror `name`. Idempotent.

    A run that the mirror has completely (sent live or by an earlier call) is not sent again. What
    was only written offline is sent once the mirror sends: `offline` is False, and its own settings
    do not keep it from that.

    Args:
        store: The store that has the run.
        name: Name of the mirror.
        run_id: The run, a unique prefix of its id, or ``latest``.
        offline: Not one network system call.
        dry_run: Only count what would be sent.

    Raises:
        NotFoundError: There is no such run or mirror.
        UsageError: The run still runs, or the backend is no mirror.
        MissingDependencyError: The mirror's library is not installed.
    """
    registry.check_mirror(name)
    run = store.run(run_id)
    if run.state is RunState.RUNNING:
        raise UsageError(f"run {run.id} is still running; sync it when it has ended")
    planned = _count(store, name, run.id)
    directory = marks.directory_of(store, name)
    mirror = registry.open_mirror(name, offline=offline, directory=directory)
    mark = _mark(store, planned)
    if mark is not None and (not mark.offline or offline or _writes(mirror)):
        return msgspec.structs.replace(
            planned, complete=True, offline_directory=mark.directory, skipped=_told(mark)
        )
    if dry_run:
        return msgspec.structs.replace(planned, skipped="dry run")
    report = feed(store, mirror, run.id, name=name, follow=False)
    return remember(store, report, offline=offline)


def remember(store: Store, report: MirrorReport, *, offline: bool) -> MirrorReport:
    """Leave a mark of a complete mirror; the report tells when that is not possible."""
    directory = marks.directory_of(store, report.mirror)
    if not report.complete or directory is None:
        return report
    mark = marks.Mark(
        run_id=report.run_id,
        mirror=report.mirror,
        offline=offline or report.offline_directory is not None,
        directory=report.offline_directory,
        records=report.records,
        artifacts=report.artifacts,
        at=SystemClock().now(),
    )
    try:
        marks.leave(directory, mark)
    except OSError as error:
        problem = f"mirrored, but this could not be noted in the store: {one_line(error)}"
        return msgspec.structs.replace(report, problems=(*report.problems, problem))
    return report


def _count(store: Store, name: str, run_id: str) -> MirrorReport:
    records = 0
    artifacts = set()
    for entry in store.entries(run_id):
        records += 1
        if isinstance(entry.record, ArtifactLogged):
            artifacts.add(entry.record.ref)
    return MirrorReport(
        run_id=run_id, mirror=name, records=records, artifacts=len(artifacts), complete=False
    )


def _mark(store: Store, planned: MirrorReport) -> marks.Mark | None:
    """The mark that says that the mirror has, or wrote offline, all that is planned."""
    directory = marks.directory_of(store, planned.mirror)
    mark = marks.find(directory, planned.run_id) if directory is not None else None
    if mark is None or mark.records < planned.records:
        return None
    if mark.directory is not None and not Path(mark.directory).is_dir():
        return None
    return mark


def _writes(mirror: Mirror) -> bool:
    """Whether `mirror` will only write; what is wrong with it is told when it begins."""
    try:
        return mirror.offline
    except Exception:
        return False


def _told(mark: marks.Mark) -> str:
    """Since when the mirror has it, or where it waits to be sent."""
    since = f"{mark.at:%Y-%m-%d %H:%M:%S} UTC"
    if not mark.offline:
        return f"{mark.mirror} has this run since {since}"
    where = f" to {mark.directory}" if mark.directory is not None else ""
    return (
        f"written offline{where} at {since}; "
        f"`instrument sync --to {mark.mirror} {mark.run_id}` sends it when online"
    )
