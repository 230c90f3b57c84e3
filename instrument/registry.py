"""The one way to a backend: a table of our own, and the entry points of strangers.

Third parties register a factory in the entry-point group ``instrument.backends``. A store's factory
is called as ``factory(path, clock)``, a mirror's as ``factory(offline=bool)``.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast

from instrument.errors import MissingDependencyError, NotFoundError, UsageError
from instrument.protocols import Clock, Mirror, Store

GROUP: Final = "instrument.backends"
Kind: TypeAlias = Literal["store", "mirror"]


class Known(NamedTuple):
    """A backend of our own.

    Attributes:
        factory: ``module:attribute``.
        kind: ``store`` or ``mirror``.
        requires: The library it needs, or None.
        extra: The extra that installs it.
    """

    factory: str
    kind: Kind
    requires: str | None = None
    extra: str | None = None


_KNOWN: Final[dict[str, Known]] = {
    "local": Known("instrument_local:open_store", "store"),
    "wandb": Known("instrument_wandb:open_mirror", "mirror", requires="wandb", extra="wandb"),
}


def known_backends() -> dict[str, str]:
    """Names of all backends that can be asked for, ours and strangers', with their factory."""
    ours = {name: known.factory for name, known in _KNOWN.items()}
    for name, factory in _strangers().items():
        if name in ours:
            raise UsageError(
                f"backend {name!r} is claimed by {factory} and by {ours[name]}; uninstall one"
            )
        ours[name] = factory
    return ours


def open_store(name: str, path: Path, clock: Clock) -> Store:
    """The store `name` at `path`. It is made on the first write, not here.

    Raises:
        NotFoundError: No backend has that name.
        UsageError: The backend is no store.
        StoreVersionError: A newer version wrote the store.
    """
    return cast("Store", _factory(name, "store")(path, clock))


def open_mirror(name: str, *, offline: bool, directory: Path | None = None) -> Mirror:
    """The mirror `name`; see `check_mirror` for the errors.

    Args:
        name: Name of the backend.
        offline: Not one network system call.
        directory: Where the mirror may keep files of its own; None where there is no such place.
    """
    check_mirror(name)
    return cast("Mirror", _factory(name, "mirror")(offline=offline, directory=directory))


def check_mirror(name: str, *, installed: bool = True) -> None:
    """Fail early, and without importing it, where mirror `name` cannot be used.

    Args:
        name: Name of the backend.
        installed: Whether its library has to be there.

    Raises:
        NotFoundError: No backend has that name.
        UsageError: The backend is no mirror.
        MissingDependencyError: Its library is not installed.
    """
    known = _KNOWN.get(name)
    if known is None and name not in known_backends():
        _unknown(name)
    if known is None:
        return
    if known.kind != "mirror":
        raise UsageError(f"backend {name!r} is a store, not a mirror")
    if installed and known.requires and importlib.util.find_spec(known.requires) is None:
        raise MissingDependencyError(
            f"backend {name!r} needs {known.requires}, which is not installed; "
            f"pip install 'instrument-ml[{known.extra}]'"
        )


def _factory(name: str, kind: Kind) -> Any:
    known = _KNOWN.get(name)
    if known is not None and known.kind != kind:
        raise UsageError(f"backend {name!r} is a {known.kind}, not a {kind}")
    dotted = known.factory if known else known_backends().get(name)
    if dotted is None:
        _unknown(name)
    module, _, attribute = str(dotted).partition(":")
    return getattr(importlib.import_module(module), attribute)


def _unknown(name: str) -> None:
    raise NotFoundError(
        f"backend {name!r} is unknown; known are {', '.join(sorted(known_backends()))}. "
        f"A package can add one in the entry-point group {GROUP!r}"
    )


def _strangers() -> dict[str, str]:
    """Entry points by name; two claims on one name are refused."""
    from importlib.metadata import entry_points

    found: dict[str, str] = {}
    for point in entry_points(group=GROUP):
        if point.name in found and found[point.name] != point.value:
            raise UsageError(
                f"backend {point.name!r} is claimed by {point.value} and by {found[point.name]}; "
                "uninstall one"
            )
        found[point.name] = point.value
    return found
