"""``instrument hold``: retention periods and legal holds, which gc and deletion cannot break."""

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import click

from instrument.cli.lacking import warn_if_lacking
from instrument.cli.opening import Options, find_artifact, full_name, open_store
from instrument.cli.output import emit_json, say, show, table
from instrument.cli.why import why_option
from instrument.cli.words import last_day, moment
from instrument.errors import NotFoundError, UsageError
from instrument.protocols import Store
from instrument.protocols.upkeep import HasUpkeep, Upkeep

_FOR_EVER: Final = datetime(9999, 12, 31, tzinfo=UTC)
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


@click.group()
def hold() -> None:
    """Keep runs and versions from being removed, until a day."""


@hold.command("set")
@click.argument("subject", metavar="RUN|REF")
@click.option("--until", required=True, metavar="DAY", help="2030-01-01 (UTC), or `forever`.")
@why_option()
@click.pass_obj
def set_hold(options: Options, subject: str, until: str, why: str | None) -> None:
    """Hold a run, with all that it made and used, or a version.

    A hold may be made longer; to make it shorter, lift it first. Both stay in the ledger.
    """
    store = open_store(options, must_exist=True)
    name = full_name(store, subject)
    upkeep_of(store).hold(name, _day(until), why)
    say(f"{name} is held until {until}")
    if ":" in name:
        warn_if_lacking(store, find_artifact(store, name))


@hold.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@click.pass_obj
def list_holds(options: Options, as_json: bool) -> None:
    """List the holds that are in force."""
    found = upkeep_of(open_store(options, must_exist=True)).holds()
    if as_json:
        emit_json(found)
        return
    if not found:
        say("nothing is held")
        return
    rows = [
        [
            each.subject,
            last_day(each.until),
            moment(each.at),
            f"{each.who.user or each.who.uid}@{each.who.host}",
            each.why or "-",
        ]
        for each in found
    ]
    show(table(["what", "until", "since", "by", "why"], rows))


@hold.command("lift")
@click.argument("subject", metavar="RUN|REF")
@why_option(required=True)
@click.pass_obj
def lift(options: Options, subject: str, why: str) -> None:
    """Lift a hold before its time; the ledger keeps who did it and why."""
    store = open_store(options, must_exist=True)
    with suppress(NotFoundError):  # what is not there any more may still be held
        subject = full_name(store, subject)
    upkeep_of(store).hold(subject, None, why)
    say(f"the hold on {subject} is lifted")


def upkeep_of(store: Store) -> Upkeep:
    """The upkeep of `store`.

    Raises:
        UsageError: Its backend has none.
    """
    if not isinstance(store, HasUpkeep):
        raise UsageError(f"{store.location} is kept by a backend that removes nothing")
    return store.upkeep


def _day(text: str) -> datetime:
    if text == "forever":
        return _FOR_EVER
    try:
        day = datetime.fromisoformat(text).replace(tzinfo=UTC) if _DATE.fullmatch(text) else None
    except ValueError:
        day = None
    if day is not None and day > datetime.now(UTC):
        return day
    if day is not None:
        raise UsageError(f"--until {text} is not ahead: nothing would be held; name a later day")
    raise UsageError(f"--until {text!r:.40} is no day; use one such as 2030-01-01, or forever")
