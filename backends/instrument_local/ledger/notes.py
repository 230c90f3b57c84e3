"""Checkpoints as C2SP signed notes (c2sp.org/signed-note, c2sp.org/tlog-checkpoint).

    <id of the store>
    <number of entries>
    <root, base64>

    — <name of the key> <base64 of: 4 bytes key id, 64 bytes Ed25519 signature>

A checkpoint that nobody signed is the first three lines. On one line, to print or to mail, it is
``<id>/<entries>/<root>``.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from instrument.errors import IntegrityError, UsageError
from instrument_local.ledger import ed25519

MOST_SIGNATURES: Final = 64
_MOST_BYTES: Final = 64 * 1024
_ED25519: Final = b"\x01"
_SSH: Final = ("ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-")
_DASH: Final = "— "
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


class Key(NamedTuple):
    """A public key and its name.

    Attributes:
        name: Who holds it, such as ``ann@lab``.
        public: The 32 bytes.
    """

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """The four bytes that stand before the signature."""
        encoded = self.name.encode() + b"\n" + _ED25519 + self.public
        return hashlib.sha256(encoded).digest()[:4]

    def __str__(self) -> str:
        """As C2SP writes it: ``name+<key id, hex>+<base64 of 0x01 and the key>``."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"


class Signature(NamedTuple):
    """A line under a note.

    Attributes:
        name: Name of the key.
        key_id: Its id.
        signature: What it signed with.
    """

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        """The line, without its newline."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.signature).decode()}"


class Checkpoint(NamedTuple):
    """What the ledger was at some time.

    Attributes:
        origin: Id of the store.
        size: Number of entries.
        root: Root of the tree, 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The three lines, which are what is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @property
    def line(self) -> str:
        """The same on one line."""
        return self.text.rstrip("\n").replace("\n", "/", 2)


class Note(NamedTuple):
    """A checkpoint and its signatures, none of them checked yet.

    Attributes:
        checkpoint: The checkpoint.
        signatures: The lines below it.
    """

    checkpoint: Checkpoint
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        """The note, byte for byte as it was parsed."""
        lines = "".join(f"{signature}\n" for signature in self.signatures)
        return self.checkpoint.text + (f"\n{lines}" if lines else "")


def parse_key(text: str) -> Key:
    """The key that `text` spells as C2SP does.

    Raises:
        UsageError: It spells none, or its key id is not its own.
    """
    if "PRIVATE KEY-----" in text:  # which is not to be shown
        raise UsageError(
            "a private key was given, and its public half is asked for: the file that ends in .pub"
        )
    if text.startswith(_SSH):
        raise UsageError(
            f"{text!r:.80} is an SSH key: its signatures are checked by `instrument ledger verify "
            "--allowed-signers FILE` alone, and count in no proof or bundle; for those ask who "
            "signs for the public half of a key of `instrument ledger key new`"
        )
    name, plus, rest = text.strip().partition("+")
    key_id, more, encoded = rest.partition("+")
    data = _decode(encoded)
    if not (plus and more and check_name(name)) or data is None or data[:1] != _ED25519:
        raise UsageError(f"{text!r:.80} is no public key: use name+id+key, as `key show` prints it")
    key = Key(name, data[1:])
    if len(key.public) != 32 or key.id.hex() != key_id:  # noqa: PLR2004 - as RFC 8032 says
        raise UsageError(f"{text!r:.80} is no public key: its id does not belong to it")
    return key


def check_name(name: str) -> bool:
    """Whether a key can be called `name`: no white space, no control characters, no plus."""
    return bool(name) and "+" not in name and name.isprintable() and len(name.split()) == 1


def parse_note(data: bytes) -> Note:
    """The checkpoint and the signatures in `data`.

    Raises:
        IntegrityError: It is no checkpoint, or not in its one form.
    """
    if len(data) > _MOST_BYTES:
        raise IntegrityError(f"a checkpoint of {len(data)} bytes is too long")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise IntegrityError("a checkpoint must be UTF-8") from error
    if _CONTROL.search(text):
        raise IntegrityError("a checkpoint has no control characters")
    body, blank, rest = text.partition("\n\n")
    lines = rest.splitlines() if blank else []
    if len(lines) > MOST_SIGNATURES:
        raise IntegrityError(f"a checkpoint has at most {MOST_SIGNATURES} signatures")
    checkpoint = _parse_text(body.removesuffix("\n"))
    note = Note(checkpoint, tuple(map(parse_signature, lines)))
    if str(note) != text:
        raise IntegrityError("a checkpoint has three lines, and signatures after an empty one")
    return note


def parse_line(text: str) -> Checkpoint:
    """The checkpoint in ``<id>/<entries>/<root>``. Raises as `parse_note`."""
    return _parse_text(text.strip().replace("/", "\n", 2))


def parse_signature(line: str) -> Signature:
    """The signature on one line. Raises as `parse_note`."""
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    data = _decode(encoded)
    if not line.startswith(_DASH) or not check_name(name) or data is None or len(data) < 5:  # noqa: PLR2004 - a key id and more
        raise IntegrityError(f"{line!r:.80} is no signature")
    return Signature(name, data[:4], data[4:])


def signer_of(text: str, signature: Signature, keys: Iterable[Key]) -> Key | None:
    """Which of `keys` made `signature` under `text`; None when it claims to be none of them.

    Raises:
        IntegrityError: It claims to be one of them and is not.
    """
    claimed = [key for key in keys if (key.name, key.id) == (signature.name, signature.key_id)]
    for key in claimed:
        if ed25519.verify(key.public, text.encode(), signature.signature):
            return key
    if claimed:
        raise IntegrityError(f"the signature of {signature.name} does not belong to what it signs")
    return None


def _parse_text(text: str) -> Checkpoint:
    lines = text.split("\n")
    root = _decode(lines[-1])
    if len(lines) != 3 or not _SIZE.fullmatch(lines[1]) or root is None or len(root) != 32:  # noqa: PLR2004 - origin, size, SHA-256
        raise IntegrityError(
            f"{text!r:.80} is no checkpoint: three lines with an id, a size and a root"
        )
    if not check_name(lines[0]):
        raise IntegrityError(f"{lines[0]!r:.80} cannot be the origin of a checkpoint")
    return Checkpoint(lines[0], int(lines[1]), root)


def _decode(text: str) -> bytes | None:
    """What the canonical base64 `text` stands for; None when it is something else."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None
