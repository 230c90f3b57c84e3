"""What the places that a user names have, and no repair puts back by itself."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from instrument.errors import InstrumentError
from instrument.protocols import Damage
from instrument.protocols.repair import Elsewhere
from instrument_local.files import Disk, is_regular, read_file
from instrument_local.layout import Layout
from instrument_local.packs.check import digest_of
from instrument_local.run_files import LooseFile


def lying_elsewhere(
    layout: Layout, places: Iterable[Path], problems: Iterable[Damage]
) -> tuple[Elsewhere, ...]:
    """What those of `places` that are copies of the store have of what is damaged or missing.

    Args:
        layout: The store.
        places: Where to look.
        problems: What is wrong with the store.
    """
    damage = [each for each in problems if each.severity == "damage"]
    found: dict[Elsewhere, None] = {}
    for place in places:
        with suppress(InstrumentError, OSError):
            copy = Layout(place.absolute(), layout.clock, Disk())
            for each in damage:
                found.update(dict.fromkeys(_found(layout, copy, each)))
    return tuple(found)


def _found(layout: Layout, copy: Layout, damage: Damage) -> Iterator[Elsewhere]:
    path = Path(damage.path)
    with suppress(InstrumentError, OSError):
        if damage.kind == "seal_missing":
            yield from _sealed(layout, copy, damage)
        elif path.parts[0] == "packs" and _is_pack(copy.root.joinpath(*path.parts[:2])):
            yield Elsewhere(place=str(copy.root), path="/".join(path.parts[:2]))
        elif path.parts[0] == "ledger" and _is_another(copy.root / path, layout.root / path):
            yield Elsewhere(place=str(copy.root), path=damage.path)


def _sealed(layout: Layout, copy: Layout, damage: Damage) -> Iterator[Elsewhere]:
    """The run of a seal that is missing, or the seal alone, if it is the one that is known here."""
    path = Path(damage.path)
    run_id = path.parent.name
    for seal in copy.run_files(run_id).seals:
        digest = f"sha256:{digest_of(seal.chunks())}"
        if seal.name != path.name or not str(damage.expected).startswith(digest):
            continue
        if seal.is_packed:
            yield Elsewhere(place=str(copy.root), path=damage.path, packed_run=run_id)
        else:
            belongs = seal.path if layout.has_run(run_id) else seal.path.parent
            yield Elsewhere(place=str(copy.root), path=copy.relative(belongs))


def _is_pack(path: Path) -> bool:
    """Whether `path` is the pack whose digest its name is."""
    return digest_of(LooseFile(path, lambda: None).chunks()) == path.stem


def _is_another(theirs: Path, ours: Path) -> bool:
    """Whether `theirs` is a file, and `ours` is not the same."""
    return is_regular(theirs) and not (is_regular(ours) and read_file(theirs) == read_file(ours))
