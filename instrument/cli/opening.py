"""What the commands share: the global options, and the store they lead to."""

import os
from pathlib import Path
from typing import Final

import msgspec

from instrument.cli.output import say
from instrument.cli.words import count, listed, visible
from instrument.errors import NotFoundError, StoreError, UsageError
from instrument.naming import LATEST, parse_reference
from instrument.past import named, selected
from instrument.protocols import Store
from instrument.summary import RunSummary
from instrument.vocabulary import ArtifactVersion

_MOST_SHOWN: Final = 5
_TOP_OF_STORE: Final = ("FORMAT", "objects", "runs", "artifacts")
NO_FORMAT: Final = (
    "{} is missing, which says which store this is; restore it from a copy, or let the next run "
    "write it again: with the id that the ledger's checkpoints tell, or else a new one"
)


class Options(msgspec.Struct):
    """The global options.

    Attributes:
        store: Directory of the store; None leaves it to the settings.
        debug: Show tracebacks.
    """

    store: Path | None = None
    debug: bool = False


def open_store(options: Options, *, must_exist: bool = True) -> Store:
    """The store that the command line and the settings lead to, to read from it.

    Args:
        options: They may name a store.
        must_exist: False: the one that the settings lead to may not be there yet.

    Raises:
        StoreError: There is no store, or it cannot be read.
        UsageError: A setting is not usable.
        StoreVersionError: A newer version wrote the store.
    """
    from instrument import settings

    path = settings.resolve(store=options.store).store
    if (must_exist or options.store is not None) and not is_store(path):
        if path.is_file():
            raise StoreError(f"{path} is a file; a store is a directory")
        raise StoreError(
            f"there is no store at {path}; `instrument run -- COMMAND` records a first run, "
            "`instrument doctor` shows which store is used"
        )
    if lacks_format(path):
        say(f"warning: {visible(NO_FORMAT.format(path / 'FORMAT'))}")
    return open_any_store(options)


def lacks_format(path: Path) -> bool:
    """Whether a store with runs or a ledger is at `path`, whose FORMAT is missing."""
    if os.path.lexists(path / "FORMAT"):
        return False
    there = (path / "ledger/entries").is_dir() or any(path.glob("runs/[0-9]*"))
    return there and not os.path.lexists(path / "FORMAT")  # made before all else


def is_store(path: Path) -> bool:
    """Whether there is a store, whole or damaged, at `path`.

    Raises:
        StoreError: It may not be looked at.
    """
    return any(_is_there(path, name) for name in _TOP_OF_STORE)


def _is_there(store: Path, name: str) -> bool:
    try:
        (store / name).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StoreError(
            f"the store at {store} cannot be read: {error.strerror}; see to its permissions, "
            "or name another with --store"
        ) from error
    return True


def open_any_store(options: Options) -> Store:
    """The same store, to write to it: it is made when it is not there.

    Raises:
        UsageError: A setting is not usable.
        StoreVersionError: A newer version wrote the store.
    """
    from instrument import registry, settings
    from instrument.clock import SystemClock

    return registry.open_store("local", settings.resolve(store=options.store).store, SystemClock())


def find_run(store: Store, selector: str) -> RunSummary:
    """The run that `selector` (an id, a unique prefix, ``latest``, a name of one run) means.

    Raises:
        NotFoundError: No run or several; the message says what to do next.
    """
    try:
        return selected(store, selector)
    except NotFoundError as error:
        _tell_removal(store, selector)
        warn_if_unreadable(store)
        if "instrument runs list" in str(error) or selector == LATEST:
            raise
        raise NotFoundError(f"{error}; `instrument runs list` shows the runs") from None


def read_run(store: Store, selector: str) -> RunSummary:
    """`find_run`; what was changed in the run after it was sealed is told on stderr."""
    from instrument.protocols.sealing import changes

    found = find_run(store, selector)
    for change in changes(store, found.id):
        say(f"warning: {visible(change)}")
    return found


def warn_if_unreadable(store: Store) -> bool:
    """Tell on stderr which runs cannot be shown, or which packs, and why; whether there are any."""
    from instrument.protocols.packing import Packs

    missing = store.unreadable() if isinstance(store, Packs) else {}
    if missing:
        packs = sum(name.endswith(".pack") for name in missing)
        amounts = {"run": len(missing) - packs, "pack": packs}
        what = " and ".join(count(number, noun) for noun, number in amounts.items() if number)
        told = listed([f"{name} ({why})" for name, why in missing.items()], most=_MOST_SHOWN)
        say(f"warning: {what} cannot be read: {told}; `instrument verify` tells more")
    return bool(missing)


def _tell_removal(store: Store, run_id: str) -> None:
    """Raise that the run was removed, if it was."""
    from instrument.protocols.upkeep import HasUpkeep

    event = store.upkeep.dropped_runs().get(run_id) if isinstance(store, HasUpkeep) else None
    if event is not None:
        who = f"{event.who.user or event.who.uid}@{event.who.host}"
        raise NotFoundError(
            f"run {run_id} was removed on {event.at:%Y-%m-%d} by {who} ({event.rule}): "
            f"{event.why or 'no reason given'}"
        )


def find_artifact(store: Store, reference: str) -> ArtifactVersion:
    """The artifact version that `reference` means.

    Raises:
        UsageError: `reference` is not ``name``, ``name:vN`` or ``name:alias``.
        NotFoundError: There is no such artifact; the message says what to do next.
    """
    try:
        return store.resolve(parse_reference(reference))
    except NotFoundError as error:
        raise NotFoundError(
            f"{error} in {store.location}; `instrument artifacts list` shows them"
        ) from None


def find_subject(store: Store, selector: str) -> RunSummary | ArtifactVersion:
    """The run or, failing that, the artifact version that `selector` means.

    Raises:
        UsageError: `selector` can name neither.
        NotFoundError: It names neither, or several runs.
    """
    if ":" in selector:
        return find_artifact(store, selector)
    try:
        return store.run(selector)
    except NotFoundError as no_run:
        try:
            return store.resolve(parse_reference(selector))
        except (NotFoundError, UsageError) as no_artifact:
            found = named(store, selector)
            if found is not None:
                return found
            raise NotFoundError(
                f"{selector!r} is no run ({no_run}) and no artifact ({no_artifact})"
            ) from None


def full_name(store: Store, selector: str) -> str:
    """The run's whole id, or ``name:vN``."""
    found = find_subject(store, selector)
    return found.id if isinstance(found, RunSummary) else found.ref


def public_key(given: str) -> str:
    """The key that `given` spells, or that is in the file of that name.

    Raises:
        UsageError: The file cannot be read.
    """
    path = Path(given)
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else given
    except (OSError, ValueError) as error:
        raise UsageError(f"{given!r:.80} cannot be read: {error}") from error
