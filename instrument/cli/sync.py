"""``instrument sync``: send a run to a mirror after it has ended."""

import sys
from contextlib import redirect_stdout

import click

from instrument.cli.opening import Options, find_run, open_store
from instrument.cli.output import emit_json, say, show, text
from instrument.cli.words import count

EXIT_INCOMPLETE = 3


@click.command()
@click.option("--to", "mirror", required=True, metavar="B", help="The mirror, such as wandb.")
@click.argument("run")
@click.option("--dry-run", is_flag=True, help="Only tell what would be sent.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def sync(options: Options, mirror: str, run: str, dry_run: bool, as_json: bool) -> int:
    """Send RUN to a mirror. What the mirror has already is not sent again.

    With INSTRUMENT_MODE=offline the mirror writes its own offline files, once, and no network is
    used; so it does where its own settings say that, such as WANDB_MODE=offline.
    """
    from instrument import registry, settings
    from instrument.mirroring import sync_run

    registry.check_mirror(mirror)
    store = open_store(options)
    offline = settings.resolve().mode == "offline"
    run_id = find_run(store, run).id
    with redirect_stdout(sys.stderr):  # what the mirror's own library prints is not our answer
        report = sync_run(store, mirror, run_id, offline=offline, dry_run=dry_run)
    amount = f"{count(report.records, 'record')}, {count(report.artifacts, 'artifact')}"
    if as_json:
        emit_json(report)
    elif dry_run and not report.complete:
        show(text(f"would send {run_id} to {mirror}: {amount}"))
    elif report.skipped:
        show(text(f"nothing to send: {report.skipped}"))
    elif report.complete and report.offline_directory:
        show(text(f"wrote {run_id} offline to {report.offline_directory}: {amount}", "green"))
    elif report.complete:
        show(text(f"{mirror} has {run_id}: {amount}", "green"))
    for problem in report.problems:
        say(str(text(f"not mirrored: {problem}")))
    return 0 if report.complete or dry_run else EXIT_INCOMPLETE
