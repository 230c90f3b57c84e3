"""Checks every byte of a pack."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from instrument.errors import IntegrityError
from instrument_local.packs.contents import Group
from instrument_local.packs.pack import Pack
from instrument_local.packs.shelf import ENDING
from instrument_local.run_files import LooseFile


class Flaw(NamedTuple):
    """What is wrong with a pack.

    Attributes:
        path: The pack, or the file in it.
        expected: What should be there.
        found: What is there.
    """

    path: Path
    expected: str
    found: str


def digest_of(chunks: Iterable[bytes]) -> str:
    """The SHA-256 of `chunks`, in hex."""
    sha256 = hashlib.sha256()
    for chunk in chunks:
        sha256.update(chunk)
    return sha256.hexdigest()


def flaws_of(pack: Pack, name: str | None = None) -> Iterator[Flaw]:
    """Whatever is wrong with `pack`; nothing when each of its bytes is right.

    Args:
        pack: The pack.
        name: Its SHA-256 in hex; None when it lies under its own name.

    Raises:
        OSError: It cannot be read.
    """
    name = name or pack.path.name.removesuffix(ENDING)
    found = digest_of(LooseFile(pack.path, lambda: None).chunks())
    if found != name:
        yield Flaw(pack.path, f"sha256:{name}", f"sha256:{found}")
    try:
        groups = pack.table.groups
    except IntegrityError as error:
        yield Flaw(pack.path, "a table of its groups", str(error))
        return
    for group in groups:
        yield from _flaws_in(pack, group)


def _flaws_in(pack: Pack, group: Group) -> Iterator[Flaw]:
    try:
        for file in pack.files(group):
            found = digest_of(file.chunks())
            if found != file.member.sha256:
                yield Flaw(file.path, f"sha256:{file.member.sha256}", f"sha256:{found}")
    except IntegrityError as error:
        yield Flaw(pack.path, f"runs {', '.join(group.runs)}", str(error))
