"""``instrument import``: what a bundle holds comes into the store."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from instrument.cli.export import bundles_of
from instrument.cli.opening import Options, open_any_store, public_key
from instrument.cli.output import emit_json, say, show, table
from instrument.cli.why import why_option
from instrument.cli.words import count, size

if TYPE_CHECKING:
    from instrument.protocols.bundles import Import


@click.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check everything, and only show what would come.")
@click.option(
    "--require-signature",
    "keys",
    multiple=True,
    metavar="KEY",
    help="Take nothing unless this public key (or its file) signed for every run.",
)
@click.option("--again", is_flag=True, help="Bring runs back that were removed here on purpose.")
@why_option()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def import_(  # noqa: PLR0913 - one parameter for each option
    options: Options,
    file: Path,
    dry_run: bool,
    keys: tuple[str, ...],
    again: bool,
    why: str | None,
    as_json: bool,
) -> int:
    """Take the runs in the bundle FILE into the store.

    Every byte is checked before anything is there. What is here is never changed: a run whose id is
    taken comes under an id of its own, an artifact whose version is taken gets the next one. A run
    that was removed here on purpose comes back only with --again. It may be interrupted at any
    moment, and called again.
    """
    from instrument.progress import Progress

    bundles = bundles_of(open_any_store(options))
    trusted = tuple(map(public_key, keys))
    with Progress("importing", lambda: None) as progress:
        brought = bundles.import_(
            file, keys=trusted, dry_run=dry_run, again=again, why=why, told=progress.advance
        )
    if as_json:
        emit_json(brought)
    else:
        _tell(brought, dry_run=dry_run)
    return 0


def _tell(brought: "Import", *, dry_run: bool) -> None:
    rows = [["run", each.id, each.here, each.change] for each in brought.runs]
    for artifact in brought.artifacts:
        change = "new" if artifact.is_new else "restored" if artifact.is_restored else "same"
        rows.append(["artifact", artifact.ref, artifact.here, change])
    show(table(["", "there", "here", "change"], rows))
    say(
        f"{'would bring' if dry_run else 'brought'} {count(brought.objects, 'object')}, "
        f"{size(brought.size_bytes)}, from store {brought.origin}: "
        f"{_vouched(brought.verified)}"
    )
    if brought.left_out:
        say(f"left out of the bundle: {count(brought.left_out, 'object')}")


def _vouched(by: str | None) -> str:
    return f"verified: {by}" if by else "unverified origin: nothing vouches for it"
