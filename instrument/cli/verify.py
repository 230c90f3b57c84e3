"""``instrument verify``: is everything that was recorded still there, and unchanged?"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

import click
import msgspec

from instrument.cli.opening import Options, full_name, open_store
from instrument.cli.output import Cell, emit, emit_json, show, table, text
from instrument.cli.words import count, listed, short_digests, size
from instrument.progress import Progress
from instrument.protocols import Packs, Store, Verification
from instrument.protocols.ledger import Evidence, HasLedger

_OF_OTHER_COPIES: Final = {"ledger_rolled_back", "ledger_rewritten"}


@click.command()
@click.argument("selector", metavar="[RUN|REF]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def verify(options: Options, selector: str | None, as_json: bool) -> int:
    """Check that nothing recorded is damaged.

    Every byte is checked against its digest, and every journal against its chain.

    Checks the whole store, or one run or artifact. Exits with 1 when it finds damage. A torn last
    line is what a killed process leaves; nothing that was recorded is lost by it, so it is a note.
    """
    store = open_store(options, must_exist=True)
    with Progress("verify", lambda: _size_of(store)) as progress:
        subject = full_name(store, selector) if selector is not None else None
        result = store.verify(subject, progress.advance)
    if as_json:
        emit_json(verification_json(result))
    else:
        show_verification(store, result)
    return 0 if result.ok else 1


def show_verification(store: Store, result: Verification) -> None:
    """What a check of `store` found, for people."""
    _show(result, _owners(store) if not result.ok else {})
    kinds = {problem.kind for problem in result.problems}
    if not kinds.isdisjoint(_OF_OTHER_COPIES) and isinstance(store, HasLedger):
        for sentence in store.ledger.verify(Evidence()).says:
            show(text(sentence))


def _size_of(store: Store) -> int:
    """How many bytes there are to read, about."""
    if not isinstance(store, Packs):
        return 0
    return sum(part.size_bytes for part in store.usage().parts.values())


def verification_json(result: Verification) -> dict[str, Any]:
    """The fixed JSON form of a verification."""
    return {
        "ok": result.ok,
        "checked": {"runs": result.runs, "objects": result.objects, "bytes": result.size_bytes},
        "problems": [msgspec.structs.asdict(problem) for problem in result.problems],
    }


def _owners(store: Store) -> dict[str, list[str]]:
    """The artifacts and runs that each object belongs to, by the hex digits of its digest."""
    owners: dict[str, list[str]] = {}
    for version in store.artifacts():
        for digest in {version.digest, *(file.digest for file in version.files)}:
            owners.setdefault(digest.removeprefix("sha256:"), []).append(version.ref)
    for run in store.runs():
        if run.environment is not None:
            digits = run.environment.removeprefix("sha256:")
            owners.setdefault(digits, []).append(f"run {run.id}")
    return owners


def _show(result: Verification, owners: Mapping[str, list[str]]) -> None:
    if result.problems:
        rows: list[list[Cell]] = [
            [
                text(each.severity, "red" if each.severity == "damage" else "yellow"),
                each.kind.replace("_", " "),
                short_digests(each.path),
                listed(owners.get(PurePath(each.path).name, ["-"]), most=3),
                short_digests(each.expected or "-"),
                short_digests(each.found or "-"),
            ]
            for each in result.problems
        ]
        show(table(["", "what", "where", "belongs to", "expected", "found"], rows))
        emit("")
    checked = (
        f"{count(result.runs, 'run')}, {count(result.objects, 'object')}, {size(result.size_bytes)}"
    )
    notes = sum(problem.severity == "note" for problem in result.problems)
    damage = len(result.problems) - notes
    if result.ok:
        noted = f", {count(notes, 'note')}" if notes else ""
        show(text(f"intact: {checked}{noted}", "green"))
    else:
        show(text(f"damaged: {count(damage, 'problem')} in {checked}", "red"))
