"""Who signed the checkpoints of a store, and whether whoever checks has reason to believe it.

A key counts when it was brought from outside the store, or when one that counts agreed to it. A key
that is known from the store alone proves nothing against those who can write to the store.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from instrument.audit import KeyRotated
from instrument.errors import IntegrityError, UsageError
from instrument_local.findings import Findings
from instrument_local.layout import Layout
from instrument_local.ledger import checkpoints, ssh
from instrument_local.ledger.checkpoints import Stored
from instrument_local.ledger.notes import (
    Checkpoint,
    Key,
    Signature,
    parse_key,
    parse_signature,
    signer_of,
)

_SOMEBODY: Final = "an SSH key"


class Signed(NamedTuple):
    """How far a signature reaches.

    Attributes:
        size: So many entries are signed.
        by: Who signed.
        counts: Whether the key was brought from outside the store.
        fits: Whether these entries are signed, and not others in their place.
    """

    size: int
    by: str
    counts: bool
    fits: bool = True


def rotation_text(origin: str, old: str, new: str) -> str:
    """What the old key signs when a new one takes its place."""
    return f"instrument key rotation\n{origin}\n{old}\n{new}\n"


class Keys:
    """The keys of one store's checkpoints, over time.

    Args:
        origin: Id of the store.
        rotations: What the ledger announced, with the index of the entry.
        brought: Keys from outside the store, and whether their signatures count.
        findings: Takes what is wrong.
        path: Where the announcements stand, for the findings.
    """

    def __init__(
        self,
        origin: str,
        rotations: Sequence[tuple[int, KeyRotated]],
        brought: Mapping[Key, bool],
        findings: Findings,
        path: Path,
    ) -> None:
        self.trusted = {key for key, counts in brought.items() if counts}
        self._brought = brought
        self._findings = findings
        self._path = path
        self._announced: list[tuple[int, Key]] = []
        for index, event in rotations:
            self._announce(origin, index, event)

    @property
    def current(self) -> Key | None:
        """The key that signs now."""
        return self._announced[-1][1] if self._announced else None

    def known(self) -> list[Key]:
        """All keys that may have signed something."""
        announced = (key for _, key in self._announced)
        return list(dict.fromkeys([*announced, *self.trusted, *self._brought]))

    def replaced_by(self, key: Key, size: int) -> int | None:
        """The entry by which `key` was replaced before the ledger had `size` entries."""
        later = [(index, other) for index, other in self._announced if index < size]
        if key not in {other for _, other in self._announced} or not later:
            return None
        return later[-1][0] if later[-1][1] != key else None

    def _announce(self, origin: str, index: int, event: KeyRotated) -> None:
        try:
            new = parse_key(event.new)
            agreed = self._agreed(origin, event)
        except (UsageError, IntegrityError) as error:
            expected = f"entry {index}: a key that the one before agreed to"
            self._findings.add("rotation_damaged", self._path, expected, str(error))
            return
        if event.old is not None and agreed is None:
            self._findings.add(
                "rotation_not_agreed",
                self._path,
                f"entry {index}: signed by the old key",
                "no signature: the old key was lost, or did not agree",
                "note",
            )
        if agreed in self.trusted:
            self.trusted.add(new)
        self._announced.append((index, new))

    def _agreed(self, origin: str, event: KeyRotated) -> Key | None:
        """The old key, if it signed that the new one takes its place."""
        if event.old is None or event.signature is None:
            return None
        if self.current is not None and str(self.current) != event.old:
            raise IntegrityError(f"{event.old} was not the key that signed so far")
        text = rotation_text(origin, event.old, event.new)
        return signer_of(text, parse_signature(event.signature), [parse_key(event.old)])


def check_notes(
    stored: Sequence[Stored], fitting: Collection[Checkpoint], keys: Keys, findings: Findings
) -> list[Signed]:
    """Check all signatures under the checkpoints that are kept.

    Args:
        stored: The checkpoints.
        fitting: Those that the ledger as it is begins with.
        keys: Who may have signed.
        findings: Takes what is wrong.
    """
    found = []
    for path, note in stored:
        checkpoint = note.checkpoint
        for signature in note.signatures:
            key = _check_one(path, checkpoint, signature, keys, findings)
            if key is not None:
                counts, fits = key in keys.trusted, checkpoint in fitting
                found.append(Signed(checkpoint.size, key.name, counts, fits))
    return found


def _check_one(
    path: Path, checkpoint: Checkpoint, signature: Signature, keys: Keys, findings: Findings
) -> Key | None:
    try:
        key = signer_of(checkpoint.text, signature, keys.known())
    except IntegrityError as error:
        findings.add("signature_wrong", path, f"a signature of {signature.name}", str(error))
        return None
    if key is None:
        found = f"{signature.name} (id {signature.key_id.hex()})"
        findings.add("signature_unknown", path, "a key that the ledger announced", found, "note")
        return None
    replaced = keys.replaced_by(key, checkpoint.size)
    if replaced is not None:
        expected = f"the key that entry {replaced} announced"
        findings.add("signature_by_old_key", path, expected, str(key))
        return None
    return key


def check_ssh(
    layout: Layout,
    origin: str,
    roots: Mapping[int, bytes],
    allowed_signers: Path | None,
    findings: Findings,
) -> list[Signed]:
    """Check all signatures of ssh-keygen that are kept."""
    found = []
    for size, path in checkpoints.paths(layout, "ssh"):
        if size not in roots:
            findings.add("ledger_cut", path, f"{size} entries", f"{max(roots)} entries")
            found.append(Signed(size, _SOMEBODY, counts=False, fits=False))
            continue
        if not ssh.is_there():
            expected = "ssh-keygen, without which no SSH signature is checked"
            findings.add("signature_unchecked", path, expected, "it is not installed", "note")
            continue
        with findings.reading("signature_wrong", path):
            text = Checkpoint(origin, size, roots[size]).text
            answer = ssh.check(text, findings.read(path), allowed_signers)
            if answer.good is False:
                findings.add("signature_wrong", path, "a signature of the checkpoint", answer.said)
                found.append(Signed(size, _SOMEBODY, counts=False, fits=False))
            elif answer.principal is not None:
                found.append(Signed(size, answer.principal, counts=True))
            elif answer.good and allowed_signers is None:
                found.append(Signed(size, _SOMEBODY, counts=False))
            else:
                expected = "a signer who is allowed"
                findings.add("signature_unknown", path, expected, answer.said, "note")
    return found
