"""``instrument runs delete``: the end of a run's records."""

import sys

import click

from instrument.cli.hold import upkeep_of
from instrument.cli.opening import Options, find_run, open_store
from instrument.cli.output import emit_json, say
from instrument.cli.why import why_option
from instrument.errors import NotFoundError, UsageError
from instrument.protocols import Store
from instrument.protocols.upkeep import Upkeep


@click.command("delete")
@click.argument("run")
@why_option(required=True)
@click.option("--redact", is_flag=True, help="Remove at once all objects that only RUN refers to.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def delete_run(  # noqa: PLR0913 - one parameter for each option
    options: Options, run: str, why: str, redact: bool, yes: bool, as_json: bool
) -> None:
    """Remove the records of RUN, also from packs. It cannot be undone.

    The ledger keeps who did it and why, and the digest of the run's seal. The versions that the run
    made stay; what only the run referred to goes with the next `instrument gc --unreferenced`, or
    with --redact at once.
    """
    store = open_store(options, must_exist=True)
    upkeep = upkeep_of(store)
    run_id = _run_to_delete(store, upkeep, run)
    if not yes and not sys.stdin.isatty():
        raise UsageError(f"there is no terminal to ask at; --yes removes {run_id} without asking")
    if not yes:
        click.confirm(f"Remove the records of {run_id} for ever?", abort=True, err=True)
    event = upkeep.delete_run(run_id, why, redact=redact)
    if as_json:
        emit_json(event)
    else:
        say(f"run {run_id} was removed")


def _run_to_delete(store: Store, upkeep: Upkeep, selector: str) -> str:
    """The id of the run; also of one whose removal was interrupted, which nothing else finds."""
    try:
        return find_run(store, selector).id
    except NotFoundError:
        if upkeep.is_half_deleted(selector):
            return selector
        raise
