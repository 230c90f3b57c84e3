"""What can be done about what `verify` found.

Evidence stays where it is: journals, versions, the ledger and packs are never moved unless an
intact copy is there; of a version and of a journal that is one which the user names. What is left
of them is still read, and `verify` goes on naming the damage.
"""

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from instrument.errors import InstrumentError, IntegrityError, StoreError
from instrument.protocols import Damage
from instrument_local.files import read_file
from instrument_local.layout import Layout
from instrument_local.objects import LocalObjects
from instrument_local.quarantine import Quarantine
from instrument_local.repair.lost_moves import lost_moves, told_moves, write_again
from instrument_local.repair.plan import Plan
from instrument_local.repair.sealed_journals import SealedJournals
from instrument_local.repair.sources import Sources
from instrument_local.run_files import LooseFile
from instrument_local.version_evidence import VersionEvidence
from instrument_local.version_files import decode_version

# What is set aside when it is damaged: it can be made again, or it is worth nothing as it is.
_SET_ASIDE: Final = {"object_changed", "alias_damaged", "seal_damaged", "event_damaged"}
_LOST_ALIAS: Final = {"alias_damaged", "alias_missing"}
_LOST_VERSION: Final = {"version_changed", "version_damaged", "version_missing"}
_LOST: Final = {"object_changed", "object_missing"}
_NO_FILE: Final = {"symbolic_link", "unreadable"}
"""Something else stands in the place of a file."""


class DamageControl:
    """Plans what to do about damage.

    Args:
        layout: The store.
        quarantine: Takes damaged files.
        sources: Where lost bytes may be found.
    """

    def __init__(self, layout: Layout, quarantine: Quarantine, sources: Sources) -> None:
        self._layout = layout
        self._objects = LocalObjects(layout)
        self._quarantine = quarantine
        self._sources = sources

    def plans(self, problems: Iterable[Damage]) -> Iterator[Plan]:
        """What can be done about `problems`, in order."""
        found = [each for each in problems if each.severity == "damage"]
        aside = set[Path]()
        for damage in found:
            path = self._layout.root / damage.path
            if path not in aside and self._is_to_be_set_aside(path, damage):
                aside.add(path)
                do = partial(self._quarantine.take, path, damage)
                yield Plan(path, damage.kind, "quarantined", damage.found or "damaged", do)
        yield from self._restored_objects(found)
        yield from self._restored_versions(found)
        yield from SealedJournals(self._layout, self._quarantine, self._sources).restored(found)
        yield from self._restored_aliases(found, aside)

    def _is_to_be_set_aside(self, path: Path, damage: Damage) -> bool:
        parts = Path(damage.path).parts
        if path.is_symlink():  # never ours; but the name of a version is never free again
            return not (parts[0] == "artifacts" and "@" not in parts[-1] and len(parts) > 2)  # noqa: PLR2004 - a version's file
        if not path.is_file():  # a directory in its place
            return path.is_dir() and (_is_alias(damage) or _is_object(damage))
        if parts[0] == "runs" and path.suffix in {".jsonl", ".json"} and self._has_copy(path):
            return True
        return damage.kind in _SET_ASIDE

    def _has_copy(self, path: Path) -> bool:
        """Whether a pack has the file `path` of a run, and has it otherwise."""
        with suppress(IntegrityError, OSError):
            for file in self._layout.packs.files_of(path.parent.name):
                if file.name == path.name:
                    return file.read() != LooseFile(path, lambda: None).read()
        return False

    def _restored_objects(self, found: list[Damage]) -> Iterator[Plan]:
        lost = {each.expected for each in found if each.kind in _LOST and each.expected}
        lost |= {
            f"sha256:{Path(each.path).name}"
            for each in found
            if each.kind in _NO_FILE and _is_object(each)
        }
        for digest, source in sorted(self._sources.find(lost).items()):
            path = self._layout.object_path(digest)
            if path is not None:
                do = partial(self._restore, path, digest, source)
                yield Plan(path, "object_missing", "restored", f"from {source}", do)

    def _restore(self, path: Path, digest: str, source: Path) -> None:
        if os.path.lexists(path):  # it would be replaced
            raise StoreError(f"{path} could not be set aside; repair again")
        if self._objects.put_file(source).digest != digest:
            raise StoreError(f"{source} changed while it was read; repair again")

    def _restored_versions(self, found: list[Damage]) -> Iterator[Plan]:
        """Files of versions, from a copy that has the very file that belongs here."""
        evidence = VersionEvidence(self._layout)
        lost = {
            _version_file(each): each
            for each in found
            if each.kind in _LOST_VERSION or (each.kind in _NO_FILE and _is_version(each))
        }
        for name, damage in lost.items():
            path = self._layout.root / name
            for source, data in self._sources.copies(name):
                with suppress(InstrumentError, OSError):
                    version = decode_version(data, path)
                    if evidence.is_of_here(version) and not _holds(path, data):
                        do = partial(self._quarantine.put_back, path, data, damage)
                        yield Plan(path, damage.kind, "restored", f"from {source}", do)
                        break

    def _restored_aliases(self, found: list[Damage], aside: Collection[Path]) -> Iterator[Plan]:
        """Facts about aliases that were lost, as the ledger knows them."""
        lost = defaultdict[tuple[str, str], list[Path]](list)
        for each in found:
            if each.kind in _LOST_ALIAS or (each.kind in _NO_FILE and _is_alias(each)):
                path = self._layout.root / each.path
                damaged = lost[path.parent.name, path.name.rpartition("@")[0]]
                if each.kind != "alias_missing":  # that one knows no file
                    damaged.append(path)
        moves = told_moves(self._layout) if lost else {}
        for key in sorted(lost.keys() & moves.keys()):
            for path, move in lost_moves(self._layout, moves[key], lost[key]).items():
                if path in aside or not os.path.lexists(path):
                    do = partial(write_again, self._layout, path, move)
                    yield Plan(path, "alias_missing", "restored", f"the ledger has {move}", do)


def _version_file(damage: Damage) -> str:
    """The file of the version that `damage` is about; a run names it by reference."""
    if damage.path.count("/") > 1:
        return damage.path
    return f"{damage.path}/{str(damage.expected).rpartition(':')[2]}.json"


def _holds(path: Path, data: bytes) -> bool:
    """Whether `path` is a file with the content `data`."""
    with suppress(OSError):
        return read_file(path) == data
    return False


def _is_object(damage: Damage) -> bool:
    """Whether `damage` is about the place of an object, ``objects/ab/<hex>``."""
    return re.fullmatch(r"objects/[0-9a-f]{2}/[0-9a-f]{64}", damage.path) is not None


def _is_version(damage: Damage) -> bool:
    """Whether it is about the place of a version, ``artifacts/<name>/vN.json``."""
    return re.fullmatch(r"artifacts/[^/]+/v[0-9]+\.json", damage.path) is not None


def _is_alias(damage: Damage) -> bool:
    """Whether it is about the place of an alias, ``artifacts/<name>/<alias>@N.json``."""
    return re.fullmatch(r"artifacts/[^/]+/[^/]+@[0-9]+\.json", damage.path) is not None
