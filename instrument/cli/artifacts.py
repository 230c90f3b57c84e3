"""``instrument artifacts``: list, show, fetch and log artifacts."""

import shutil
import sys
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from itertools import count, groupby, islice, takewhile
from pathlib import Path
from typing import Any, Final, Literal

import click
import msgspec

from instrument.cli.lacking import warn_if_lacking
from instrument.cli.opening import Options, find_artifact, open_any_store, open_store
from instrument.cli.output import emit, emit_json, say, show, table
from instrument.cli.why import why_option
from instrument.cli.words import ago, moment, short_digest, short_ids, size, visible
from instrument.errors import InstrumentError, NotFoundError, StoreError, UsageError
from instrument.naming import LATEST, Reference, check_alias, versioned
from instrument.protocols import Store
from instrument.protocols.upkeep import HasUpkeep
from instrument.vocabulary import ArtifactVersion

_STDOUT: Final = "-"
_MOST_LOST: Final = 5


@click.group()
def artifacts() -> None:
    """Named, versioned content: data, models, checkpoints, results."""


@artifacts.command("list")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@click.pass_obj
def list_artifacts(options: Options, name: str | None, as_json: bool) -> None:
    """List all versions, or those of NAME, and whether their bytes were collected."""
    store = open_store(options)
    if name is not None:
        find_artifact(store, name)
    found = list(store.artifacts(name))
    collected = _collected(store, found)
    _warn_of_lost(store, found)
    if as_json:
        emit_json([artifact_json(version, collected) for version in found])
        return
    if not found:
        say(f"no artifact yet (store {visible(store.location)})")
        return
    run_ids = short_ids([version.run_id for version in found if version.run_id])
    columns = {
        "artifact": [version.ref for version in found],
        "type": [version.type for version in found],
        "size": [size(version.size_bytes) for version in found],
        "files": [str(len(version.files)) for version in found],
        "made": [moment(version.created_at) for version in found],
        "age": [ago(version.created_at) for version in found],
        "run": [run_ids.get(version.run_id or "", "-") for version in found],
        "aliases": [", ".join(version.aliases) or "-" for version in found],
    }
    if collected:
        columns["bytes"] = ["collected" if each.ref in collected else "here" for each in found]
    rows = zip(*columns.values(), strict=True)
    spare = ("made", "files", "age", "type", "run")
    show(table(list(columns), rows, numeric=("size", "files"), cut="aliases", spare=spare))


@artifacts.command("show")
@click.argument("ref")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def show_artifact(options: Options, ref: str, as_json: bool) -> None:
    """Show one version: what it is, where it came from, its files."""
    from instrument.lineage.parents import parents_of

    store = open_store(options)
    version = find_artifact(store, ref)
    parents = parents_of(store, version)
    if as_json:
        shown = artifact_json(version, _collected(store, [version]))
        emit_json({**shown, "made_from": parents})
        return
    from instrument.cli.artifact_page import artifact_page

    show(artifact_page(store, version, parents))


@artifacts.command("get")
@click.argument("ref")
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="PATH",
    help="The file or directory to make; - writes a file to stdout. [default: its own name, here]",
)
@click.pass_obj
def get_artifact(options: Options, ref: str, output: str | None) -> None:
    """Copy an artifact out of the store, verified, whole or not at all; prints where it lies.

    Nothing is overwritten. A file goes into PATH when PATH is a directory or ends with a slash.
    Directories that PATH lacks are made.
    """
    from instrument.artifacts import Artifact

    store = open_store(options)
    artifact = Artifact(store, find_artifact(store, ref))
    if output == _STDOUT:
        _write_out(store, artifact.version)
        return
    emit(visible(artifact.copy_to(_target(artifact.version, output))))


@artifacts.command("log")
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--type", "kind", default="other", show_default=True, help="Such as dataset or model."
)
@click.option("--parent", "parents", multiple=True, metavar="REF", help="What it was made from.")
@why_option()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def log_artifact(  # noqa: PLR0913 - one parameter for each option
    options: Options,
    name: str,
    path: Path,
    kind: str,
    parents: tuple[str, ...],
    why: str | None,
    as_json: bool,
) -> None:
    """Store the file or directory PATH as a version of the artifact NAME.

    Content that NAME already has keeps its version. Prints the reference. Inside `instrument run`
    the artifact belongs to that run.
    """
    version = _log(options, name, kind, path, parents, why)
    if as_json:
        emit_json(artifact_json(version, collected=()))  # its bytes are here again, if they went
    else:
        emit(version.ref)
        say(f"{size(version.size_bytes)}, {short_digest(version.digest)}")


def _log(  # noqa: PLR0913 - as the command
    options: Options, name: str, kind: str, path: Path, parents: tuple[str, ...], why: str | None
) -> ArtifactVersion:
    """Log a path: for the run that this command was started in, if any, else by hand."""
    from instrument.handover import received

    if received() is not None and options.store is None:
        from instrument.current import current_run

        run = current_run()
        if run is not None:
            version: ArtifactVersion = run.log_artifact(
                name, kind, file_path=path, parent_artifacts=parents
            )
            if version.version is None:
                raise StoreError(f"{name} is not recorded: the store could not take it")
            if why is not None:
                say("--why is not kept: a run's versions are in the ledger with the run")
            return version
    from instrument.artifacts import log_value
    from instrument.clock import SystemClock

    return log_value(
        open_any_store(options),
        name=name,
        type=kind,
        data=None,
        file_path=path,
        metadata=None,
        parents=parents,
        run_id=None,
        clock=SystemClock(),
        why=why,
    )


@artifacts.command("tag")
@click.argument("ref")
@click.argument("alias")
@why_option()
@click.pass_obj
def tag_artifact(options: Options, ref: str, alias: str, why: str | None) -> None:
    """Point ALIAS at the version that REF means; prints the version.

    A new fact: where the alias pointed before stays on the record.
    """
    store = open_store(options)
    version = find_artifact(store, ref)
    check_alias(alias)
    emit(_pointed(store, version, alias, why))


@artifacts.command("rollback")
@click.argument("name")
@click.argument("version")
@why_option()
@click.pass_obj
def rollback_artifact(options: Options, name: str, version: str, why: str | None) -> None:
    """Point `latest` of NAME at an earlier VERSION (N, vN or an alias). Later ones stay."""
    store = open_store(options)
    emit(_pointed(store, find_artifact(store, versioned(name, version)), LATEST, why))


def _pointed(store: Store, version: ArtifactVersion, alias: str, why: str | None) -> str:
    if alias == LATEST:
        from instrument.artifacts.presence import roll_back

        return roll_back(store, version, datetime.now(UTC), why).ref
    reference = Reference(version.name, version.version, None)
    tagged = store.tag(reference, alias, datetime.now(UTC), why).ref
    warn_if_lacking(store, version)
    return tagged


def _write_out(store: Store, version: ArtifactVersion) -> None:
    """Write the one file of `version` to stdout."""
    if version.is_tree:
        raise UsageError(f"{version.ref} is a directory; give -o a path, since - takes one file")
    sys.stdout.flush()
    with store.open(version.files[0].digest) as source:
        shutil.copyfileobj(source, sys.stdout.buffer)


def _target(version: ArtifactVersion, output: str | None) -> Path:
    """Where a copy of `version` goes when the user asks for `output`."""
    own_name = version.name if version.is_tree else Path(version.files[0].path).name
    if output is None:
        return Path(own_name)
    path = Path(output)
    into = not version.is_tree and (output.endswith("/") or path.is_dir())
    return path / own_name if into else path


def _collected(store: Store, versions: Iterable[ArtifactVersion]) -> set[str] | None:
    """References of the `versions` whose bytes, or some, were let go; None when nobody can say."""
    if not isinstance(store, HasUpkeep):
        return None
    try:
        gone = store.upkeep.dropped_objects()
    except InstrumentError:  # `verify` tells what is wrong with the ledger
        return None
    return {
        version.ref
        for version in versions
        if any(file.digest in gone and not store.contains(file.digest) for file in version.files)
    }


def _warn_of_lost(store: Store, versions: Iterable[ArtifactVersion]) -> None:
    """Tell which versions are missing between or behind `versions`, all that could be read."""
    lost = list(islice(_lost(store, versions), _MOST_LOST + 1))
    if lost:
        shown = ", ".join(lost[:_MOST_LOST]) + (" and more" if len(lost) > _MOST_LOST else "")
        verb = "is" if len(lost) == 1 else "are"
        say(f"warning: {shown} {verb} missing or damaged; `instrument verify` tells more")


def _lost(store: Store, versions: Iterable[ArtifactVersion]) -> Iterator[str]:
    for name, found in groupby(versions, key=lambda each: each.name):
        number, is_latest = 1, False
        for version in found:
            here = version.version or 0
            gap = (Reference(name, each, None) for each in range(number, here))
            yield from (str(each) for each in gap if _state(store, each) != "here")
            number, is_latest = here + 1, LATEST in version.aliases
        if not is_latest:  # else nothing is behind it: most lists need no second look
            behind = (Reference(name, each, None) for each in count(number))
            yield from map(str, takewhile(lambda each: _state(store, each) == "damaged", behind))


def _state(store: Store, reference: Reference) -> Literal["here", "missing", "damaged"]:
    try:
        store.resolve(reference)
    except NotFoundError:
        return "missing"
    except InstrumentError:
        return "damaged"
    return "here"  # made since the list was


def artifact_json(version: ArtifactVersion, collected: Collection[str] | None) -> dict[str, Any]:
    """The fixed JSON form of an artifact version; `collected` as `_collected` gives it."""
    is_collected = None if collected is None else version.ref in collected
    return {"ref": version.ref, **msgspec.structs.asdict(version), "collected": is_collected}
