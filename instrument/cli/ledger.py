"""``instrument ledger``: what happened to the store, and proof that it was not edited."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import click
import msgspec

from instrument.audit import KeyRotated
from instrument.cli.ledger_words import what_happened, who_signed
from instrument.cli.opening import Options, find_run, open_any_store, open_store, public_key
from instrument.cli.output import Cell, emit, emit_json, say, show, table, text, write_text
from instrument.cli.why import why_option
from instrument.cli.words import moment, short_digests
from instrument.errors import InstrumentError, IntegrityError, UsageError
from instrument.progress import Progress
from instrument.protocols.ledger import Evidence, HasLedger, Ledger, LedgerVerification

PASSPHRASE: Final = "INSTRUMENT_LEDGER_PASSPHRASE"  # noqa: S105 - the name of a variable
_EXIT_CODES: Final = {"ok": 0, "ok-unanchored": 0, "incomplete": 3, "tampered": 1}
_STYLES: Final = {"ok": "green", "ok-unanchored": "yellow", "incomplete": "yellow"}
_path = click.Path(path_type=Path, dir_okay=False)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
_key = click.option("--key", "key", type=_path, metavar="FILE", help="Another key than the usual.")


@click.group()
def ledger() -> None:
    """Show what happened to the store, and prove that its history was not edited."""


@ledger.command()
@_as_json
@click.pass_obj
def log(options: Options, as_json: bool) -> None:
    """List every event: who closed, changed or removed something, when and why."""
    entries = list(_ledger(options).entries())
    if as_json:
        emit_json([{"index": each.index, **msgspec.to_builtins(each.event)} for each in entries])
        return
    rows: list[list[Cell]] = [
        [
            "waits" if each.index is None else str(each.index),
            moment(each.event.at),
            f"{each.event.who.user or each.event.who.uid}@{each.event.who.host}",
            what_happened(each.event),
            each.event.why or "-",
        ]
        for each in entries
    ]
    show(table(["#", "when", "who", "what", "why"], rows, numeric=["#"]))


@ledger.command()
@click.option("--since", metavar="CHECKPOINT", help="An older checkpoint: its line, or a file.")
@click.option("--key", "keys", multiple=True, metavar="KEY", help="A public key, or its file.")
@click.option(
    "--allowed-signers",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Whose SSH signatures count, as ssh-keygen wants it.",
)
@_as_json
@click.pass_obj
def verify(
    options: Options,
    since: str | None,
    keys: tuple[str, ...],
    allowed_signers: Path | None,
    as_json: bool,
) -> int:
    """Check the ledger, and the runs that it closed, against everything that is at hand.

    Of those runs every byte of their seals and journals is read, and every alias; `instrument
    verify` checks what they refer to, too.
    Compares with the checkpoint that --since brings, and with the one that you saw last time, which
    is kept in your home. Says which changes the check would have found, and which it cannot know.
    Exits with 0 when all is well, 1 when something was changed, 3 when not all could be checked.
    """
    evidence = Evidence(
        since=since, keys=tuple(map(public_key, keys)), allowed_signers=allowed_signers
    )
    with Progress("verify", lambda: None) as progress:
        result = _ledger(options).verify(evidence, progress.advance)
    if as_json:
        emit_json(result)
    else:
        _show(result)
    return _EXIT_CODES[result.verdict]


@ledger.command()
@_as_json
@click.pass_obj
def checkpoint(options: Options, as_json: bool) -> None:
    """Print the checkpoint of now: one line to mail, print or keep in another place.

    Whoever has it can tell later whether anything before it was changed.
    """
    origin, entries, root = _ledger(options).checkpoint().splitlines()[:3]
    if as_json:
        emit_json({"origin": origin, "size": int(entries), "root": root})
    else:
        emit(f"{origin}/{entries}/{root}")


@ledger.command()
@_key
@click.option(
    "--ssh",
    type=_path,
    metavar="KEY",
    help="Sign with an SSH key, by ssh-keygen; that counts in no proof or bundle.",
)
@click.pass_obj
def sign(options: Options, key: Path | None, ssh: Path | None) -> None:
    """Sign the checkpoint of now, with the key of `ledger key new` or an SSH key."""
    if key is not None and ssh is not None:
        raise UsageError("--key and --ssh exclude each other: sign twice to have both")
    found = _ledger(options)
    signed = found.sign_with_ssh(ssh) if ssh else found.sign(key, _passphrase(found, key))
    sys.stdout.write(signed)


@ledger.command()
@click.argument("run")
@click.option(
    "-o", "--output", type=_path, metavar="FILE", help="Where to write it; else to stdout."
)
@click.pass_obj
def proof(options: Options, run: str, output: Path | None) -> None:
    """Write the proof that RUN is in the ledger; checked with `ledger check-proof`, or by hand."""
    store = open_store(options, must_exist=True)
    write_text(_of(store).proof_of(find_run(store, run).id).decode(), output)


@ledger.command(name="check-proof")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--key", "keys", multiple=True, metavar="KEY", help="A public key, or its file.")
@_as_json
@click.pass_obj
def check_proof(options: Options, file: Path, keys: tuple[str, ...], as_json: bool) -> int:
    """Check the proof in FILE. Needs no store."""
    ledger = _of(open_any_store(Options(debug=options.debug)))  # read nothing, write nothing
    try:
        keys = tuple(map(public_key, keys))
        result = ledger.check_proof(file.read_bytes(), keys)
    except IntegrityError as error:
        raise IntegrityError(f"{file} proves nothing: {error}") from error
    if as_json:
        emit_json(result)
    else:
        show(text(f"proven: entry {result.index}: {what_happened(result.event)}", "green"))
        show(text(f"of the ledger whose checkpoint is {result.checkpoint}"))
        is_signed = result.signed_by is not None
        show(text(who_signed(result.signed_by, keys), "" if is_signed else "yellow"))
    return 1 if keys and result.signed_by is None else 0


@ledger.group()
def key() -> None:
    """Make, show and change the key that signs checkpoints."""


@key.command()
@click.option("--name", metavar="NAME", help="Who holds it; else user@host.")
@click.option(
    "-o",
    "--output",
    "--key",
    "output",
    type=_path,
    metavar="FILE",
    help="Another place than the usual.",
)
@click.option("--passphrase", "ask", is_flag=True, help="Ask for a passphrase that locks it.")
@click.pass_obj
def new(options: Options, name: str | None, output: Path | None, ask: bool) -> None:
    """Make a key, and print its public half."""
    given = os.environ.get(PASSPHRASE)
    if ask and given is None:
        given = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
    emit(
        _ledger(options, must_exist=False).new_key(output, name, given.encode() if given else None)
    )


@key.command(name="show")
@_key
@click.pass_obj
def show_key(options: Options, key: Path | None) -> None:
    """Print the public half of your key, for others to check signatures with."""
    found = _ledger(options, must_exist=False)
    shown = found.public_key(key)
    emit(shown)
    in_force = _in_force(found)
    if in_force not in {None, shown}:
        say(
            f"warning: not this key signs the ledger of this store now, but {in_force}; "
            "`instrument ledger key show --key FILE` shows that one, where FILE is its file"
        )


@key.command()
@click.argument("new", type=_path)
@_key
@click.option("--lost", is_flag=True, help="The old key is lost and cannot agree.")
@why_option()
@click.pass_obj
def rotate(options: Options, new: Path, key: Path | None, lost: bool, why: str | None) -> None:
    """Let the private key in NEW sign from now on; the old key signs that it agrees.

    Where the old one is your usual key, NEW is copied to its place, and the old one is kept beside
    it. `ledger key new --output NEW` makes a key.
    """
    found = _ledger(options)
    before = _usual_key(found)
    if lost:
        found.rotate(new, key, None, why, lost=True)
    else:
        found.rotate(new, key, _passphrase(found, key), why)
    signs, usual = found.public_key(new), _usual_key(found)
    say(f"from now on {signs} signs")
    if usual != signs:
        say(f"it is not your usual key: `instrument ledger sign --key {new}`")
    elif before not in {None, usual}:
        say(f"it is your usual key now, and {new} a copy; beside it is kept {before}")


def _usual_key(found: Ledger) -> str | None:
    with suppress(InstrumentError):
        return found.public_key(None)
    return None


def _in_force(found: Ledger) -> str | None:
    """The public key that signs the ledger; None for none yet, or where that cannot be read."""
    with suppress(InstrumentError):
        events = (entry.event for entry in found.entries())
        announced = [event.new for event in events if isinstance(event, KeyRotated)]
        return announced[-1] if announced else None
    return None


def _ledger(options: Options, *, must_exist: bool = True) -> Ledger:
    return _of(open_store(options, must_exist=must_exist))


def _of(store: object) -> Ledger:
    if not isinstance(store, HasLedger):
        raise UsageError(f"a store of type {type(store).__name__} keeps no ledger")
    return store.ledger


def _passphrase(found: Ledger, key: Path | None) -> bytes | None:
    if not found.needs_passphrase(key):
        return None
    given = os.environ.get(PASSPHRASE)
    if given is None and sys.stdin.isatty():
        given = click.prompt("Passphrase", hide_input=True, err=True)
    return given.encode() if given else None


def _show(result: LedgerVerification) -> None:
    if result.problems:
        rows: list[list[Cell]] = [
            [
                text(each.severity, "red" if each.severity == "damage" else "yellow"),
                each.kind.replace("_", " "),
                short_digests(each.path),
                short_digests(each.expected or "-"),
                short_digests(each.found or "-"),
            ]
            for each in result.problems
        ]
        show(table(["", "what", "where", "expected", "found"], rows))
        emit("")
    for sentence in result.says:
        show(text(sentence))
    show(
        text(
            f"{result.verdict}: {result.checkpoint or 'an empty ledger'}",
            _STYLES.get(result.verdict, "red"),
        )
    )
