"""``instrument repair``: set right what crashes and broken disks leave, and say what is lost."""

from itertools import groupby
from pathlib import Path
from typing import Final

import click

from instrument.cli.opening import Options, open_store
from instrument.cli.output import Cell, emit, emit_json, say, show, table, text
from instrument.cli.verify import show_verification, verification_json
from instrument.cli.why import why_option
from instrument.cli.words import count, listed, short_digests, visible
from instrument.errors import UsageError
from instrument.protocols import Damage
from instrument.protocols.repair import Repair, Repairs

_path = click.Path(path_type=Path, exists=True)
_FROM: Final = "`instrument repair --from PATH`, "
_DAMAGED_JOURNAL: Final = (
    f"a damaged journal: {_FROM}with a copy of the store; or move the file out of the store, then "
    "`instrument import` a bundle of its run"
)
_WAYS_OUT: Final = {
    "journal_missing": f"a journal that is gone: {_FROM}with a copy of the store, or "
    "`instrument import` a bundle of its run",
    **dict.fromkeys(
        ("journal_size", "journal_changed", "chain_broken", "line_damaged", "sequence_broken"),
        _DAMAGED_JOURNAL,
    ),
    **dict.fromkeys(
        ("object_missing", "object_changed"),
        f"lost content: {_FROM}with a copy of the store, or the file it was made from",
    ),
    **dict.fromkeys(
        ("version_missing", "version_damaged", "version_changed"),
        f"the file of a version: {_FROM}with a copy of the store",
    ),
    "seal_missing": "a run or a seal that is gone: put it back from a copy of the store, or "
    "`instrument import` a bundle of that run",
    "seal_untrue": "a seal that tells of a run what its journals do not: somebody wrote it, and "
    "what the journals tell counts; compare both with a copy of the store",
    "alias_missing": "an alias: `instrument artifacts tag REF ALIAS` points it anew",
    "alias_unrecorded": "an alias that nobody is on record for: `instrument artifacts tag REF "
    "ALIAS` points it anew, and that is told",
}


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
                "elsewhere": done.elsewhere,
            }
        )
    else:
        _show(done)
        _show_useless(done, sources)
        show_verification(store, done.verification)
        _show_ways_out(done)
        _show_elsewhere(done)
    if any(step.error for step in done.steps):
        return 3
    return 0 if done.verification.ok else 1


def _show(done: Repair) -> None:
    if not done.steps:
        is_whole = done.verification.ok
        say("nothing to repair" if is_whole else "repair alone cannot mend what is damaged:")
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


def _show_useless(done: Repair, sources: tuple[Path, ...]) -> None:
    """Say which of the places that the user named gave nothing back."""
    used = [f"{step.path} {step.detail}/" for step in done.steps]
    used += [f"{each.place}/" for each in done.elsewhere]
    for place in sources:
        if not any(f"{place.absolute()}/" in each for each in used):
            say(f"{visible(place)} has nothing that is missed here, of what `repair` brings back")


def _show_elsewhere(done: Repair) -> None:
    """Say what the user can bring back by hand."""
    for place, found in groupby(done.elsewhere, lambda each: each.place):
        lies = {each.path: each.packed_run for each in found}
        if loose := [path for path, run in lies.items() if run is None]:
            say(
                f"{visible(place)} has {listed(loose, most=3)}: move what is damaged here out of "
                "the store, and copy that to the same place"
            )
        if runs := sorted({run for run in lies.values() if run is not None}):
            say(
                f"{visible(place)} has {listed(runs, most=3)} in a pack: `instrument --store "
                f"{visible(place)} export RUN -o FILE`, then `instrument import FILE`"
            )


def _show_ways_out(done: Repair) -> None:
    """Say what can mend the damage that is left."""
    if done.dry_run and done.steps:
        return
    left = (each for each in done.verification.problems if each.severity == "damage")
    for way_out in dict.fromkeys(map(_way_out, left)):
        say(way_out)


def _way_out(damage: Damage) -> str:
    if damage.path.startswith(("packs/", "ledger/")):
        return "a pack, or the ledger: only the same file from a copy of the store mends it"
    return _WAYS_OUT.get(damage.kind, "anything else: put the file back from a copy of the store")
