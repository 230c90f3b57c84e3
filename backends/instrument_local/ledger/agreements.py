"""Under the checkpoint of a proof: that a key agreed to the next one, so that trust can go on.

    — <name of the old key> <base64 of: 4 bytes id, 64 bytes Ed25519 signature, the new key as text>

It is what the ledger keeps of a rotation, as a line of a signed note. Its type is one of our own,
with an id of its own, so that other programs pass over it as over a key that they do not know.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from instrument.audit import KeyRotated
from instrument.errors import IntegrityError, UsageError
from instrument_local.ledger import ed25519
from instrument_local.ledger.notes import Key, Signature, parse_key, parse_signature
from instrument_local.ledger.signatures import rotation_text

_TYPE: Final = b"\xffinstrument key rotation"
_SIGNATURE: Final = 64


def line(event: KeyRotated) -> Signature | None:
    """The line for `event`; None where no old key agreed.

    Raises:
        UsageError, IntegrityError: `event` is damaged.
    """
    if event.old is None or event.signature is None:
        return None
    old, signature = parse_key(event.old), parse_signature(event.signature).signature
    return Signature(old.name, _id(old), signature + event.new.encode())


def follow(origin: str, lines: Sequence[Signature], keys: Sequence[Key]) -> list[Key]:
    """`keys`, and those that they agreed to, and those that these agreed to.

    Raises:
        IntegrityError: A line claims to be of one of them and is not.
    """
    found = list(keys)
    for old in found:  # which grows meanwhile
        for each in lines:
            if (each.name, each.key_id) == (old.name, _id(old)):
                new = _agreed(origin, old, each.signature)
                found += [new] if new not in found else []
    return found


def _id(old: Key) -> bytes:
    return hashlib.sha256(old.name.encode() + b"\n" + _TYPE + old.public).digest()[:4]


def _agreed(origin: str, old: Key, data: bytes) -> Key:
    try:
        new = parse_key(data[_SIGNATURE:].decode())
    except (UnicodeDecodeError, UsageError) as error:
        raise IntegrityError(f"{old.name} agreed to something that is no key: {error}") from error
    text = rotation_text(origin, str(old), str(new))
    if not ed25519.verify(old.public, text.encode(), data[:_SIGNATURE]):
        raise IntegrityError(f"{old.name} did not agree to {new}: the signature is of another text")
    return new
