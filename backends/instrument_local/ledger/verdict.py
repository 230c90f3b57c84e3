"""What a check of the ledger proves, and what it cannot know, in words."""

from typing import Final, NamedTuple

from instrument.protocols.ledger import Verdict
from instrument.protocols.store import Damage
from instrument_local.ledger.notes import Checkpoint
from instrument_local.ledger.signatures import Signed

_UNANCHORED: Final = (
    "There was no older checkpoint from outside the store to compare with. Damage by accident "
    "would have been found. Whoever can write to the store could have put an older copy or another "
    "history in its place, or cut off its end: this check cannot know. Keep what "
    "`instrument ledger checkpoint` prints somewhere else."
)
_UNSHOWN: Final = {"unreadable", "signature_missing"}
"""What was found then is not that something is wrong, but that it cannot be shown to be right."""
_OF_OTHER_COPIES: Final = {"ledger_rolled_back", "ledger_rewritten", "ledger_forked"}
_BEHIND: Final = (
    "The {} after those could have been replaced or cut off by whoever can write to the "
    "store: nothing from outside stands for them yet."
)


class Anchor(NamedTuple):
    """An older checkpoint that came from outside the store.

    Attributes:
        checkpoint: The checkpoint.
        source: Where it came from, in words.
        way_out: What to do when it rightly does not agree.
        fits: Whether the ledger begins with the entries that it stands for.
    """

    checkpoint: Checkpoint
    source: str
    way_out: str
    fits: bool = True


class Result(NamedTuple):
    """What was found, for the words.

    Attributes:
        checkpoint: The ledger as it is.
        problems: What is wrong.
        pending: Events that wait.
        begun: How many runs began and are not closed.
        dropped: How many runs were removed on purpose.
        late: How many runs and versions were entered when they were found, not when they were made.
        anchors: The older checkpoints.
        signed: The signatures that are good, be it of these entries or of others.
    """

    checkpoint: Checkpoint
    problems: tuple[Damage, ...]
    pending: int
    begun: int
    dropped: int
    late: int
    anchors: tuple[Anchor, ...]
    signed: tuple[Signed, ...]

    @property
    def verdict(self) -> Verdict:
        """The one word."""
        kinds = {each.kind for each in self.problems if each.severity == "damage"}
        if kinds - _UNSHOWN:
            return "tampered"
        if kinds or self.pending:
            return "incomplete"
        return "ok" if self.anchored else "ok-unanchored"

    @property
    def anchored(self) -> int:
        """So many entries an older checkpoint stands for."""
        return max((anchor.checkpoint.size for anchor in self.anchors if anchor.fits), default=0)

    @property
    def signature(self) -> Signed | None:
        """The signature of these entries that reaches farthest, if possible one that counts."""
        fitting = (each for each in self.signed if each.fits)
        return max(fitting, key=lambda each: (each.counts, each.size), default=None)

    def says(self) -> tuple[str, ...]:
        """What is proven and what is not, each in a sentence or two."""
        about_runs = (self._dropped(), self._late(), self._begun(), self._waiting())
        parts = (self._whole(), *about_runs, *self._anchored(), self._signed(), *self._misfits())
        return tuple(part for part in parts if part)

    def _whole(self) -> str:
        entries = _entries(self.checkpoint.size)
        if self.verdict == "tampered":
            return f"The ledger does not hold; {entries} could be read: see what was found."
        return (
            f"The ledger has {entries}; each byte of them, their order, the seal and journals of "
            "every run that they close, the file of every version that they name, and every alias "
            "were checked. What those refer to, content, the environment and the versions that "
            "runs made, `instrument verify` checks, and whether something tells of each version."
        )

    def _dropped(self) -> str:
        return (
            f"Runs that were removed on purpose: {self.dropped}; their entries stay, and "
            "`instrument ledger log` tells who did it, when and why."
            if self.dropped
            else ""
        )

    def _late(self) -> str:
        return (
            f"Runs and versions that came into the ledger only when they were found: {self.late}; "
            "what was done to them until then could go unseen. `instrument ledger log` tells of "
            "each gap."
            if self.late
            else ""
        )

    def _begun(self) -> str:
        return (
            f"Runs that began and are not closed: {self.begun}; until they are, changes to them "
            "can go unseen. `instrument repair` closes those whose processes are gone."
            if self.begun
            else ""
        )

    def _waiting(self) -> str:
        return (
            f"Events that are not in the ledger yet: {self.pending}; until they are, they can "
            "vanish unseen."
            if self.pending
            else ""
        )

    def _anchored(self) -> list[str]:
        if self.verdict == "tampered":
            return list(map(self._compared, self.anchors))
        said = [
            f"It begins with the {_entries(each.checkpoint.size)} that {each.source} stands "
            "for: none of those was changed, moved or dropped, whoever tried."
            for each in self.anchors
        ]
        behind = self.checkpoint.size - self.anchored
        return (
            [*said, _BEHIND.format(_entries(behind))] if said and behind else said or [_UNANCHORED]
        )

    def _compared(self, anchor: Anchor) -> str:
        """Whether it fits a ledger that does not hold; the way out is of whole ledgers only."""
        source, entries = anchor.source, _entries(anchor.checkpoint.size)
        if anchor.fits:
            return f"It begins with the {entries} that {source} stands for."
        said = f"{source[:1].upper()}{source[1:]}, of {entries}, does not fit these entries."
        return said if self._is_broken else f"{said} {anchor.way_out}"

    @property
    def _is_broken(self) -> bool:
        """Whether the ledger contradicts itself, as no older or other copy of it does."""
        kinds = {each.kind for each in self.problems if each.severity == "damage"}
        return any(kind.startswith("ledger_") for kind in kinds - _OF_OTHER_COPIES)

    def _misfits(self) -> list[str]:
        """Whose signatures are of other entries than these."""
        misfits = sorted({(each.size, each.by) for each in self.signed if not each.fits})
        return [
            f"The signature of {by} under {_entries(size)} does not fit these entries."
            for size, by in misfits
        ]

    def _signed(self) -> str:
        signed = self.signature
        if any(problem.kind == "signature_missing" for problem in self.problems):
            return "None of the given keys signed any of it."
        if signed is None:
            return (
                "No signature was checked: that the owner of a key stood for it is not shown."
                if self.verdict != "tampered"
                else ""
            )
        if signed.counts and self.verdict == "tampered":
            return f"The first {_entries(signed.size)} are those that {signed.by} signed."
        if signed.counts:
            return (
                f"The first {_entries(signed.size)}: signed by {signed.by}. Nobody without that "
                "key can have made them up. Its holder can."
            )
        return (
            f"The first {_entries(signed.size)}: signed by {signed.by}, a key that is known from "
            "the store alone: whoever can write to the store could have put it there. Bring the "
            "key with --key to know."
        )


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number} entries"
