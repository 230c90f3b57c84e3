"""``instrument export``: runs, and what they made, used and captured, in one file."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from instrument.cli.opening import Options, find_run, open_store
from instrument.cli.output import emit, emit_json, say
from instrument.cli.why import why_option
from instrument.cli.words import count, size, visible
from instrument.errors import UsageError

if TYPE_CHECKING:
    from instrument.protocols.bundles import Bundles, Export

_SIZE: Final = re.compile(r"([0-9]{1,15})\s*(|[kKMGT]i?)B?")
_REASONS: Final = {
    "size": "longer than --max-object-size",
    "without objects": "--without-objects",
}
_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def bundles_of(store: object) -> "Bundles":
    """The way out of and into `store`.

    Raises:
        UsageError: Its backend has none.
    """
    from instrument.protocols.bundles import HasBundles

    if not isinstance(store, HasBundles):
        raise UsageError(f"a store of type {type(store).__name__} knows no bundles")
    return store.bundles


@click.command()
@click.argument("runs", metavar="RUN…", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The bundle to write; it must not be there.",
)
@click.option("--max-object-size", metavar="SIZE", help="Leave out longer files, such as 100MiB.")
@click.option("--without-objects", is_flag=True, help="Leave out the bytes of all artifacts.")
@why_option()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def export(  # noqa: PLR0913 - one parameter for each option
    options: Options,
    runs: tuple[str, ...],
    output: Path,
    max_object_size: str | None,
    without_objects: bool,
    why: str | None,
    as_json: bool,
) -> int:
    """Write RUN… with what they made, used and captured into one file, for another store.

    Journals and seals as they are, the patch of the code (not the commit), environment, telemetry,
    the artifacts they made and used and what those were made from, and the proof that each run is
    in the ledger. Prints the digest of the file. What is left out still goes along by digest.
    """
    from instrument.progress import Progress

    if str(output) == "-":
        raise UsageError("a bundle is written whole or not at all, so not to stdout; name a file")
    store = open_store(options, must_exist=True)
    run_ids = [find_run(store, run).id for run in runs]
    largest = -1 if without_objects else _bytes(max_object_size)
    with Progress("exporting", lambda: None) as progress:
        written = bundles_of(store).export(
            run_ids, output, max_object_bytes=largest, why=why, told=progress.advance
        )
    if as_json:
        emit_json(written)
    else:
        _tell(written)
    return 0


def _bytes(given: str | None) -> int | None:
    """The number of bytes in ``10``, ``10kB``, ``10MiB``; units are powers of 1024."""
    if given is None:
        return None
    match = _SIZE.fullmatch(given)
    if match is None:
        raise UsageError(f"{given!r:.80} is no size; write 100MiB or 2GiB")
    return int(match[1]) * _UNITS[match[2][:1].lower()]


def _tell(written: "Export") -> None:
    amount = f"{count(len(written.runs), 'run')}, {count(len(written.artifacts), 'artifact')}"
    say(
        f"{visible(written.path)}: {amount}, {count(written.objects, 'object')}, "
        f"{size(written.size_bytes)}"
    )
    for reason, number in written.left_out.items():
        say(f"left out {count(number, 'object')}: {_REASONS.get(reason, reason)}")
    emit(written.digest)
