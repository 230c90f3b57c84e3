"""``instrument repair``: set right what crashes and broken disks leave, and say what is lost."""

from pathlib import Path

import click

from instrument.cli.opening import Options, open_store
from instrument.cli.output import Cell, emit, emit_json, say, show, table, text
from instrument.cli.verify import show_verification, verification_json
from instrument.cli.why import why_option
from instrument.cli.words import count, short_digests
from instrument.errors import UsageError
from instrument.protocols.repair import Repair, Repairs

_path = click.Path(path_type=Path, exists=True)


@click.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@why_option()
@click.option(
    "--from",
    "sources",
    type=_path,
    multiple=True,
    metavar="PATH",
    help="What may hold lost bytes: a file, a directory, a copy of the store, a spool.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def repair(
    options: Options, dry_run: bool, why: str | None, sources: tuple[Path, ...], as_json: bool
) -> int:
    """Set right what can be set right, then check the whole store.

    Closes the runs of dead processes, finishes what was interrupted, takes in records that wait on
    a local disk, sets damaged files aside in quarantine/, and brings back what other places still
    have. No recorded byte is changed or removed, and every step is in the ledger. Exits with 0 when
    the store is whole afterwards, with 1 when something is lost, with 3 when a step failed.
    """
    store = open_store(options, must_exist=True)
    if not isinstance(store, Repairs):
        raise UsageError(f"{store.location} is kept by a backend that has no repair")
    done = store.repair(dry_run=dry_run, why=why, sources=sources)
    if as_json:
        emit_json(
            {
                "dry_run": done.dry_run,
                "steps": done.steps,
                "verification": verification_json(done.verification),
            }
        )
    else:
        _show(done)
        show_verification(store, done.verification)
    if any(step.error for step in done.steps):
        return 3
    return 0 if done.verification.ok else 1


def _show(done: Repair) -> None:
    if not done.steps:
        say("nothing to repair")
        return
    rows: list[list[Cell]] = [
        [
            text("failed", "red") if step.error else text(step.action, "green"),
            step.kind.replace("_", " "),
            short_digests(step.path),
            short_digests(step.error or step.detail),
        ]
        for step in done.steps
    ]
    show(table(["", "what", "where", ""], rows))
    emit("")
    say(f"{'would take' if done.dry_run else 'took'} {count(len(done.steps), 'step')}")
