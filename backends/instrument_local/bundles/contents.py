"""What a bundle says of itself: the manifest at its end.

    instrument bundle 1, newline
    the parts, one behind the other: zstd frames, or bytes as they are
    stamped: the manifest, canonical JSON, newline
    the length of that line: 16 digits, newline

A part holds the bytes of its contents, in order, with nothing between them. Nothing has an offset,
so nothing can overlap or leave a gap. Every byte is covered: a part by its digest in the manifest,
the manifest by its check. A content is a file of a store under the path that it has there; no other
path can be said.
"""

import re
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal, TypeAlias

import msgspec

from instrument.audit import Who
from instrument.errors import IntegrityError, StoreVersionError
from instrument_local.packs.contents import MAX_RATIO, MAX_TABLE_BYTES
from instrument_local.stamps import stamp, unstamp

FORMAT: Final = 1
MAGIC: Final = b"instrument bundle 1\n"
FEATURES: Final[frozenset[str]] = frozenset()
"""What a bundle may require of its reader, beyond this format."""
MAX_CONTENTS: Final = 1_000_000
MAX_GROUP_BYTES: Final = 1 << 20
"""A part up to this length is unpacked once for all its contents; a longer one has one content."""
_ANY_MAGIC: Final = re.compile(rb"instrument bundle [0-9]+\n?")
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_RUN: Final = r"(?P<run>[A-Za-z0-9][A-Za-z0-9_-]{3,63})"

Kind: TypeAlias = Literal["fact", "journal", "seal", "proof", "version", "object"]
_PATHS: Final[dict[Kind, re.Pattern[str]]] = {
    "fact": re.compile(rf"runs/[0-9]{{6}}/{_RUN}/imported\.[0-9a-f]{{16}}\.json"),
    "journal": re.compile(rf"runs/[0-9]{{6}}/{_RUN}/[A-Za-z0-9][A-Za-z0-9._-]{{0,200}}\.jsonl"),
    "seal": re.compile(rf"runs/[0-9]{{6}}/{_RUN}/run(?:\.(?:[2-9]|[1-9][0-9]{{1,5}}))?\.json"),
    "proof": re.compile(rf"proofs/{_RUN}\.tlog-proof"),
    "version": re.compile(r"artifacts/[A-Za-z0-9][A-Za-z0-9._+-]{0,127}/v[1-9][0-9]{0,8}\.json"),
    "object": re.compile(r"objects/([0-9a-f]{2})/\1[0-9a-f]{62}"),
}


class Content(msgspec.Struct, frozen=True):
    """A file in a bundle.

    Attributes:
        path: Its path in the store it came from; of a proof ``proofs/<run id>.tlog-proof``.
        size_bytes: Its length.
        sha256: Of its bytes, in hex.
    """

    path: str
    size_bytes: int
    sha256: str

    @property
    def kind(self) -> Kind:
        """What it is."""
        return next(kind for kind, path in _PATHS.items() if path.fullmatch(self.path))

    @property
    def run_id(self) -> str:
        """The run that it is a file or the proof of."""
        match = _PATHS[self.kind].fullmatch(self.path)
        assert match is not None  # noqa: S101 - it has a kind
        return match["run"]

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


class Coding(StrEnum):
    """How a part holds its contents: as one zstd frame, or as they are."""

    ZSTD = "zstd"
    RAW = "raw"


class Part(msgspec.Struct, frozen=True):
    """Some contents that are compressed together, or one long one.

    Attributes:
        coding: ``zstd``: one frame; ``raw``: bytes as they are.
        size_bytes: Length in the bundle.
        sha256: Of these bytes, in hex.
        contents: What it holds, in order.
    """

    coding: Coding
    size_bytes: int
    sha256: str
    contents: tuple[Content, ...]

    @property
    def raw_size_bytes(self) -> int:
        """Length of what it holds."""
        return sum(content.size_bytes for content in self.contents)


class LeftOut(msgspec.Struct, frozen=True):
    """An object that something in the bundle refers to, and that is not in it.

    Attributes:
        digest: Its digest.
        reason: ``size``; ``without objects``, since that was asked for; ``not in the store``, which
            let it go or never had it; or ``lost``.
    """

    digest: str
    reason: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a bundle.

    Attributes:
        format: Version of the format.
        requires: Features without which it must not be read.
        origin: Id of the store it was made from.
        at: When it was made, UTC.
        who: Who made it: a claim, no proof.
        runs: The runs, sorted.
        left_out: Objects that are not in it.
        parts: The parts, in order.
    """

    format: int = FORMAT
    requires: tuple[str, ...] = ()
    origin: str
    at: datetime
    who: Who
    runs: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()
    parts: tuple[Part, ...]


class _Head(msgspec.Struct):
    """What every format of the manifest says."""

    format: int
    requires: tuple[str, ...] = ()


_encode = msgspec.json.Encoder(order="sorted").encode


def check_magic(start: bytes) -> None:
    """Whether a file that begins with `start` is a bundle.

    Raises:
        IntegrityError: It is none, or was cut off.
        StoreVersionError: It is one of another format.
    """
    if start == MAGIC:
        return
    if MAGIC.startswith(start):
        raise IntegrityError(f"it was cut off at offset {len(start)}; copy it again")
    if _ANY_MAGIC.fullmatch(start):
        raise StoreVersionError(
            f"it is {start[:30].decode().strip()!r}, and this version knows format {FORMAT}; "
            "install a newer instrument-ml"
        )
    raise IntegrityError(f"it begins with {start!r:.60}, and a bundle with {MAGIC!r}")


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest and the trailer, as they end a bundle.

    Raises:
        IntegrityError: No reader would take so long a manifest.
    """
    line = stamp(_encode(manifest))
    if len(line) > MAX_TABLE_BYTES:
        raise IntegrityError("it lists more than a bundle may hold; export fewer runs at a time")
    return b"%b%016d\n" % (line, len(line))


def decode_manifest(line: bytes, end: int) -> Manifest:
    """The manifest in `line`, which begins at offset `end` of its bundle.

    Raises:
        StoreVersionError: It is of a newer format, or requires what is not known.
        IntegrityError: It is damaged, or says what no manifest may say.
    """
    try:
        payload = unstamp(line)
        head = msgspec.json.decode(payload, type=_Head)
        if head.format > FORMAT or not FEATURES.issuperset(head.requires):
            unknown = ", ".join(sorted(set(head.requires) - FEATURES)) or f"format {head.format}"
            raise StoreVersionError(f"it requires {unknown!r:.200}; install a newer instrument-ml")
        manifest = msgspec.json.decode(payload, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, IntegrityError) as error:
        raise IntegrityError(f"its manifest, at offset {end}, is damaged: {error}") from error
    _check_parts(manifest, end)
    _check_paths(manifest)
    return manifest


def _check_parts(manifest: Manifest, end: int) -> None:
    offset = len(MAGIC)
    for part in manifest.parts:
        sizes = [content.size_bytes for content in part.contents]
        raw = sum(sizes)
        is_right = part.size_bytes == raw if part.coding is Coding.RAW else raw
        if not (sizes and min(sizes) >= 0 and part.size_bytes >= 0 and is_right):
            raise IntegrityError(f"the sizes in the part at offset {offset} cannot be")
        if raw > MAX_GROUP_BYTES and len(sizes) > 1:
            raise IntegrityError(f"the part at offset {offset} holds too much in one")
        if raw > MAX_RATIO * part.size_bytes and raw:
            raise IntegrityError(
                f"the part at offset {offset} claims to hold {raw} bytes in {part.size_bytes}: "
                f"more than {MAX_RATIO} times as many is a decompression bomb"
            )
        offset += part.size_bytes
    if offset != end:
        raise IntegrityError(f"its parts end at offset {offset}, its manifest begins at {end}")


def _check_paths(manifest: Manifest) -> None:
    seen: set[str] = set()
    for part in manifest.parts:
        for content in part.contents:
            path = content.path
            if not any(known.fullmatch(path) for known in _PATHS.values()):
                raise IntegrityError(f"{path[:100]!a} is no path that a bundle may name")
            if path.casefold() in seen:  # paths are ASCII: there is nothing to normalise
                raise IntegrityError(f"{path!r} is named twice, or differs in case alone")
            if not _HEX.fullmatch(content.sha256):
                raise IntegrityError(f"{content.sha256[:80]!a} is no SHA-256")
            if content.kind == "object" and content.name != content.sha256:
                raise IntegrityError(f"object {content.name} is said to be {content.sha256}")
            seen.add(path.casefold())
    if len(seen) > MAX_CONTENTS:
        raise IntegrityError(f"it names {len(seen)} files; {MAX_CONTENTS} are the most")
