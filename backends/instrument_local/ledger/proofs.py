"""Proofs that something is in the ledger, as text (c2sp.org/tlog-proof).

    c2sp.org/tlog-proof@v1
    extra <the entry, base64>
    index <its place>
    <the hashes from the entry's sibling up to the root, base64, one a line>

    <the checkpoint, as it is kept>
    <that the keys before agreed to the one that signed it: see `agreements`>

Whoever holds the checkpoint, or trusts a key that signed it, needs nothing else.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Final

import msgspec

from instrument.audit import Event, decode_event
from instrument.errors import IntegrityError
from instrument.protocols.ledger import Proof
from instrument_local.ledger.agreements import follow
from instrument_local.ledger.notes import Key, Note, parse_note, signer_of
from instrument_local.ledger.tree import leaf_hash, root_from_inclusion

_HEAD: Final = "c2sp.org/tlog-proof@v1\n"


def write(entry: bytes, index: int, hashes: Sequence[bytes], note: str) -> bytes:
    """The proof that `entry` stands at `index` of the tree that `note` is a checkpoint of."""
    lines = [f"extra {_text(entry)}", f"index {index}", *map(_text, hashes)]
    return (_HEAD + "\n".join(lines) + "\n\n" + note).encode()


def check(data: bytes, keys: Sequence[Key] = ()) -> Proof:
    """What the proof `data` proves: that the entry is in the tree of the checkpoint in it.

    Args:
        data: The proof.
        keys: Keys that may have signed the checkpoint, or agreed to the one that did.

    Raises:
        IntegrityError: It proves nothing.
    """
    entry, index, hashes, note = _parse(data)
    checkpoint = note.checkpoint
    if root_from_inclusion(index, checkpoint.size, leaf_hash(entry), hashes) != checkpoint.root:
        raise IntegrityError("the proof does not lead from its entry to its checkpoint")
    trusted = follow(checkpoint.origin, note.signatures, keys)
    signers = (signer_of(checkpoint.text, each, trusted) for each in note.signatures)
    return Proof(
        event=_event(entry),
        index=index,
        checkpoint=checkpoint.line,
        signed_by=next((str(key) for key in signers if key is not None), None),
    )


def _parse(data: bytes) -> tuple[bytes, int, list[bytes], Note]:
    head, blank, rest = data.partition(b"\n\n")
    note = parse_note(rest)
    try:
        start, extra, place, *hashes = head.decode("ascii").split("\n")
        index = int(place.removeprefix("index "))
        entry = base64.b64decode(extra.removeprefix("extra "), validate=True)
        path = [base64.b64decode(each, validate=True) for each in hashes]
    except (UnicodeDecodeError, binascii.Error, ValueError) as error:
        raise IntegrityError(f"this is no proof of the ledger: {error}") from error
    if not blank or start + "\n" != _HEAD or write(entry, index, path, str(note)) != data:
        raise IntegrityError("this is no proof of the ledger, or not in its one form")
    return entry, index, path, note


def _event(entry: bytes) -> Event:
    try:
        return decode_event(entry)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise IntegrityError(f"the proof is about something that is no event: {error}") from error


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
