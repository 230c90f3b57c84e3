"""What the index of a repository says beyond its status.

A status passes over files that git was told to take for unchanged, and over files whose bytes are
another form of the committed ones (ends of lines, encodings, Git LFS).
"""

import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from instrument.capture.repository import Repository
from instrument.capture.status import Committed

ARGUMENTS: Final = ("ls-files", "--stage", "-v", "-z")
SETTINGS_ARGUMENTS: Final = (
    "config", "-z", "--get-regexp", r"^(remote\..*\.url|core\.(autocrlf|eol|attributesfile))$",
)  # fmt: skip
LFS_ARGUMENTS: Final = ("ls-files", "-z", "--", ":(top,attr:filter=lfs)")
_ENTRY = re.compile(rb"([A-Za-z]) (\d{6}) ([0-9a-f]+) (\d)\t([^\0]+)\0")
_UNUSUAL = re.compile(rb"(?:\A|(?<=\0))(?:[^H][^\0]*|H 160000[^\0]*)\0")
_ATTRIBUTES_PATH = re.compile(rb"\t((?:[^\0]*/)?\.gitattributes)\0")
_CONVERTS = re.compile(rb"\b(?:text|crlf|eol|ident|filter|working-tree-encoding)\b")
_GITLINK: Final = b"160000"
_MAX_ATTRIBUTES_BYTES: Final = 1_000_000
_POINTER = re.compile(
    rb"\Aversion https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*"
    rb"oid sha256:([0-9a-f]{64})\nsize (\d+)\n\Z"
)
POINTER_MAX_BYTES: Final = 1024


class Indexed(NamedTuple):
    """A file in the index.

    Attributes:
        path: Relative to the root.
        committed: What the index has; for an unchanged file, what the commit has.
    """

    path: bytes
    committed: Committed


class Listing(NamedTuple):
    """The index of one repository.

    Attributes:
        raw: What git printed.
        gitlinks: Paths where another repository is registered, with the commit.
        hidden: Files that git was told to take for unchanged (sparse checkouts among them).
    """

    raw: bytes
    gitlinks: tuple[tuple[bytes, str], ...]
    hidden: tuple[Indexed, ...]

    def attributes(self, root: Path) -> bytes:
        """The text of all ``.gitattributes`` files."""
        if b".gitattributes\0" not in self.raw:
            return b""
        paths = _ATTRIBUTES_PATH.findall(self.raw)
        return b"\n".join(_text(root / os.fsdecode(path)) for path in paths)

    def files(self) -> list[Indexed]:
        """All files."""
        found = _ENTRY.findall(self.raw)
        return [
            Indexed(path, Committed(mode.decode(), object_id.decode()))
            for _, mode, object_id, stage, path in found
            if mode != _GITLINK and stage == b"0"
        ]


def parse_listing(output: bytes) -> Listing:
    """The listing that `output` of ``git ls-files --stage -v -z`` spells."""
    gitlinks: list[tuple[bytes, str]] = []
    hidden: list[Indexed] = []
    for line in _UNUSUAL.findall(output) if _has_unusual(output) else ():
        entry = _ENTRY.fullmatch(line)
        if entry is None:
            continue
        tag, mode, object_id, _, path = entry.groups()
        if mode == _GITLINK:
            gitlinks.append((path, object_id.decode()))
        elif tag == b"S" or tag.islower():
            hidden.append(Indexed(path, Committed(mode.decode(), object_id.decode())))
    return Listing(output, tuple(gitlinks), tuple(hidden))


def _has_unusual(output: bytes) -> bool:
    """Whether any entry is more than a file in the index: counted, since a search takes longer."""
    usual = output.count(b"\0H 100") + output.count(b"\0H 120")
    return usual + output.startswith((b"H 100", b"H 120")) < output.count(b"\0")


def parse_settings(output: bytes) -> dict[str, str]:
    """The settings that `output` of ``git config -z`` spells; the last one of a name counts."""
    pairs = (item.partition("\n") for item in output.decode(errors="replace").split("\0") if item)
    return {key: value if equals else "true" for key, equals, value in pairs}


def may_convert(repository: Repository, listing: Listing, settings: Mapping[str, str]) -> bool:
    """Whether git may keep files of this repository in another form than they lie in the tree."""
    root = repository.root
    if root is None:
        return False
    if settings.get("core.autocrlf", "false") != "false" or settings.get("core.eol") == "crlf":
        return True
    users = settings.get("core.attributesfile") or "~/.config/git/attributes"
    own = (repository.common_dir / "info" / "attributes", Path(users).expanduser())
    text = b"\n".join((*map(_text, own), listing.attributes(root)))
    return _CONVERTS.search(text) is not None


def converted(
    root: Path, files: Sequence[Indexed], sizes: Callable[[Sequence[str]], list[int | None]]
) -> list[Indexed]:
    """Those of `files` that lie in the tree with another size than they are committed with.

    Args:
        root: The working tree.
        files: Unchanged files.
        sizes: Tells the sizes of objects by their ids, None for one that is not there.
    """
    here = [_size(root / os.fsdecode(file.path)) for file in files]
    committed = sizes([file.committed.object_id for file in files])
    return [
        file
        for file, size, before in zip(files, here, committed, strict=True)
        if size is not None and before is not None and size != before
    ]


def pointed_to(content: bytes) -> tuple[str, int] | None:
    """Digest (hex) and size of what a Git LFS pointer stands for; None if it is none."""
    match = _POINTER.match(content)
    return (match[1].decode(), int(match[2])) if match else None


def _size(path: Path) -> int | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _text(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_ATTRIBUTES_BYTES)
    except OSError:
        return b""
