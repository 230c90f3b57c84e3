"""``instrument env restore``: a run's code, given back and proven."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from instrument.cli.opening import Options, find_run, open_store
from instrument.cli.output import emit, emit_json, say
from instrument.cli.words import count, visible
from instrument.errors import NotFoundError
from instrument.protocols import Store
from instrument.records import CodeCaptured, ProcessStarted

if TYPE_CHECKING:
    from instrument.capture.commits import Source
    from instrument.capture.manifest import Manifest, Place
    from instrument.capture.restored import Restored


@click.command()
@click.argument("run")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--repository",
    metavar="PATH",
    help="Where the commit is: a local repository, or a URL to fetch it from. [default: where the "
    "run found it, else the repository here]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def restore(
    options: Options, run: str, directory: Path, repository: str | None, as_json: bool
) -> int:
    """Give the code of RUN back in the new directory DIRECTORY, byte for byte.

    The commit, everything that differed from it, and the repositories inside. No network is used
    unless --repository is a URL. Exits with 1 when something is not as it was, and names it.
    """
    from instrument.capture.restore import Recorded, restore as give_back

    store = open_store(options)
    run_id = find_run(store, run).id
    code, process = _captured(store, run_id)
    manifest = _manifest(store, run_id, code)
    source = _source(repository, manifest, process) if manifest.repositories else None
    recorded = Recorded(
        manifest,
        patch=store.get_bytes(code.patch) if code.patch else None,
        script=store.get_bytes(code.script) if code.script else None,
    )
    restored = give_back(recorded, directory, source)
    if as_json:
        emit_json({"run": run_id, "identical": _is_identical(restored), **_fields(restored)})
    else:
        emit(visible(str(directory)))
        _tell(restored)
    return 0 if _is_identical(restored) else 1


def _captured(store: Store, run_id: str) -> tuple[CodeCaptured, ProcessStarted | None]:
    """The last word about the code of the run, and who said it."""
    code = process = None
    for entry in store.entries(run_id):
        if isinstance(entry.record, CodeCaptured):
            code = entry.record
        elif isinstance(entry.record, ProcessStarted) and entry.record.owner:
            process = entry.record
    if code is None:
        raise NotFoundError(f"run {run_id} has no record of its code; there is nothing to restore")
    return code, process


def _manifest(store: Store, run_id: str, code: CodeCaptured) -> "Manifest":
    """What is to be restored; what the run could not keep stands as left out."""
    from instrument.capture.manifest import LeftOut, Manifest, Place, read_manifest

    if code.manifest is not None:
        return read_manifest(store.get_bytes(code.manifest))
    if code.git is None or code.git.commit is None:
        raise NotFoundError(
            f"the code of run {run_id} is not known ({code.reason or 'no commit'}); there is "
            "nothing to restore"
        )
    place = Place(path="", commit=code.git.commit, remote=code.git.remote)
    why = code.reason or "the run was captured at the level BASIC"
    lost = () if code.git.dirty is False else (LeftOut(path=".", reason=f"changes: {why}"),)
    return Manifest(directory=None, repositories=(place,), left_out=lost)


def _source(given: str | None, manifest: "Manifest", process: ProcessStarted | None) -> "Source":
    """The repository that the user names, else the first known one that has the commit."""
    from instrument.capture.commits import Source

    place = manifest.repositories[0]
    if given is not None:
        return Source(given, manifest.directory)
    script = next((a for a in process.command[1:] if a.endswith(".py")), "") if process else ""
    began = process.directory if process and process.directory else "."
    tried: list[str] = []
    for location in (manifest.directory, began, str(Path(began, script).parent), "."):
        if location and location not in tried:
            tried.append(location)
            source = _known(location, place)
            if source is not None:
                return source
    raise NotFoundError(
        f"commit {str(place.commit)[:12]} is in none of {', '.join(map(repr, tried))}; name a "
        "repository that has it with --repository"
        + (f", such as {place.remote}" if place.remote else "")
    )


def _known(location: str, place: "Place") -> "Source | None":
    """The repository around `location` when it has the commit."""
    from instrument.capture.commits import Source

    if "://" in location or not Path(location).is_dir():
        return None
    try:
        source = Source(location)
    except NotFoundError:
        return None
    return source if source.has(place) else None


def _is_identical(restored: "Restored") -> bool:
    return not (restored.differing or restored.left_out or restored.redacted)


def _fields(restored: "Restored") -> dict[str, object]:
    import msgspec

    fields: dict[str, object] = msgspec.to_builtins(restored)
    return fields


def _tell(restored: "Restored") -> None:
    commit = f"commit {restored.commit[:12]}, " if restored.commit else ""
    say(f"{commit}{count(restored.verified, 'changed file')} verified")
    for path in restored.differing:
        say(f"differs: {visible(path)}")
    for path, reason in restored.left_out.items():
        say(f"not kept by the run: {visible(path)} ({visible(reason)})")
    for path, redacted in restored.redacted.items():
        for lines in redacted:
            say(f"{visible(path)}:{lines.span}: a secret was removed ({visible(lines.rule)})")
