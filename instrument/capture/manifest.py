"""What a run's code differed in from its commit, file by file: the proof of a restored tree."""

import re
from typing import Final

import msgspec

from instrument.errors import IntegrityError

_ESCAPED = re.compile(r"\\(?:\\|x([0-9a-f]{2}))|[^\\]+")
_LEADS_OUT: Final = frozenset({b"", b".", b"..", b".git"})
EXECUTABLE: Final = "100755"
LINK: Final = "120000"
REGULAR: Final = "100644"


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A repository: that of the code, a submodule, or one that merely lies inside.

    Attributes:
        path: Where it lies, relative to the root; empty for that of the code.
        commit: The commit that was checked out; None before the first one.
        remote: URL of its remote, without credentials; None when there is none.
    """

    path: str
    commit: str | None
    remote: str | None = None

    @property
    def is_sha256(self) -> bool:
        """Whether the ids of its objects are SHA-256."""
        return len(self.commit or "") == 64  # noqa: PLR2004 - hex digits


class RedactedLines(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of a file from which a secret was removed; a mark stands in its place.

    Attributes:
        first_line: The first one, from 1.
        last_line: The last one; each between them lost a part, too.
        rule: What told: a kind of token by its form, ``known value``, or ``named as a secret``.
    """

    first_line: int
    last_line: int
    rule: str

    @property
    def span(self) -> str:
        """The lines for people: ``3`` or ``3-9``."""
        is_one = self.first_line == self.last_line
        return f"{self.first_line}" if is_one else f"{self.first_line}-{self.last_line}"


class ChangedFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file that differs from the commit.

    Attributes:
        path: Relative to the root.
        mode: ``100644``, ``100755`` (executable) or ``120000`` (a link); None when it is deleted.
        digest: ``sha256:<hex>`` of its bytes, of a link's target; None when it is deleted.
            With `redacted`, that of the bytes that are kept: none is kept of the bytes as they
            were, because a weak password could be found by it.
        is_lfs: Whether Git LFS holds the bytes; they are not in the patch.
        redacted: From which lines a secret was removed.
    """

    path: str
    mode: str | None
    digest: str | None
    is_lfs: bool = False
    redacted: tuple[RedactedLines, ...] = ()


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A file that differs and is not kept.

    Attributes:
        path: Relative to the root.
        reason: Why.
    """

    path: str
    reason: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    r"""Everything in which the code differs from what is committed.

    Paths are text: bytes that are not UTF-8 stand as ``\xNN``, a backslash as ``\\``.

    Attributes:
        directory: The root of the working tree on the machine of the run.
        repositories: The repository of the code, and those inside it; none for a lone script.
        files: What differs and can be restored.
        left_out: What differs and is not kept.
    """

    directory: str | None
    repositories: tuple[Place, ...] = ()
    files: tuple[ChangedFile, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def read_manifest(data: bytes) -> Manifest:
    """The manifest that `data` spells, with no path that leads out of the tree.

    Raises:
        IntegrityError: It is no manifest, or one that cannot be trusted.
    """
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"the manifest of the code is not readable: {error}") from error
    paths = [place.path for place in manifest.repositories if place.path]
    for path in (*paths, *(file.path for file in manifest.files)):
        if any(part.lower() in _LEADS_OUT for part in path_bytes(path).split(b"/")):
            raise IntegrityError(f"the manifest of the code names {path!r}: it is not used")
    return manifest


def path_text(path: bytes) -> str:
    r"""`path` as text that `path_bytes` turns back.

    >>> path_text(b"a\\b\xff")
    'a\\\\b\\xff'
    """
    return path.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def path_bytes(text: str) -> bytes:
    r"""The path that `path_text` has written.

    >>> path_bytes("a\\\\b\\xff")
    b'a\\b\xff'
    """
    return b"".join(_piece(match) for match in _ESCAPED.finditer(text))


def _piece(match: re.Match[str]) -> bytes:
    if match[1]:
        return bytes.fromhex(match[1])
    return b"\\" if match[0] == r"\\" else match[0].encode()
