"""What a ledger promises: what happened stays known, and what is known can be proven."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import msgspec

from instrument.audit import Event
from instrument.protocols.store import Damage

Verdict: TypeAlias = Literal["ok", "ok-unanchored", "incomplete", "tampered"]


class LedgerEntry(msgspec.Struct, frozen=True):
    """An entry of the ledger.

    Attributes:
        index: Its place, from 0; None while it waits to be taken in.
        event: What happened.
    """

    index: int | None
    event: Event


class LedgerVerification(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of the ledger found, and what it can and cannot have found.

    Attributes:
        verdict: ``ok``; ``ok-unanchored``: whole, but no older checkpoint was there to compare
            with; ``incomplete``: something could not be read, or is not covered yet; ``tampered``.
        checkpoint: The ledger as it is, on one line; None while it is empty.
        size: Number of entries.
        anchored: So many entries are those that an older checkpoint stands for.
        signed: So many entries are covered by a signature that was checked.
        signed_by: The key that signed them.
        pending: Events that wait to be taken in.
        dropped_runs: Runs that were removed on purpose.
        problems: What was found.
        says: What the check proves and what it cannot know, in sentences.
    """

    verdict: Verdict
    checkpoint: str | None
    size: int
    anchored: int
    signed: int
    signed_by: str | None
    pending: int
    dropped_runs: tuple[str, ...]
    problems: tuple[Damage, ...]
    says: tuple[str, ...]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the one who checks brings along, from outside the store.

    Attributes:
        since: An older checkpoint: one line, or the path of a file with one.
        keys: Public keys, as ``ledger key show`` prints them: one of them must have signed. None
            given: that of whoever checks counts.
        allowed_signers: A file of ssh-keygen that says whose SSH signatures count.
    """

    since: str | None = None
    keys: tuple[str, ...] = ()
    allowed_signers: Path | None = None


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What an inclusion proof proved.

    Attributes:
        event: The entry.
        index: Its place in the ledger.
        checkpoint: The checkpoint that it leads to, on one line.
        signed_by: Who signed the checkpoint: one of the given keys, or one that these agreed to
            when the key was changed; None: neither.
    """

    event: Event
    index: int
    checkpoint: str
    signed_by: str | None


class Ledger(Protocol):
    """Everything that closed, changed or removed something in a store, in order, for ever."""

    def integrate(self) -> int:
        """Take in what waits; how many entries that were. Idempotent.

        Raises:
            StoreError: Another process maintains the store, or it cannot be written.
            IntegrityError: The ledger is damaged.
        """

    def entries(self) -> Iterator[LedgerEntry]:
        """All entries in order, then the events that wait."""

    def verify(self, evidence: Evidence, told: Callable[[int], None] = ...) -> LedgerVerification:
        """Check every entry, checkpoint, seal and sealed journal, also against `evidence`.

        Args:
            evidence: What there is to compare with.
            told: Called with the number of bytes that were read, again and again.

        Raises:
            UsageError: `evidence` cannot be read, or is of another store.
            MissingDependencyError: It has allowed signers, and there is no ssh-keygen.
        """

    def checkpoint(self) -> str:
        """The checkpoint of now as a note, which is kept in the store for ever."""

    def sign(self, key: Path | None, passphrase: bytes | None) -> str:
        """The same, signed with an Ed25519 key of ours (None: the usual place).

        Raises:
            NotFoundError: There is no key.
            UsageError: It cannot be used; the message says why.
            MissingDependencyError: `cryptography` is not installed.
        """

    def sign_with_ssh(self, key: Path) -> str:
        """The checkpoint of now, signed by ``ssh-keygen`` beside it. Raises as `sign`."""

    def rotate(
        self,
        new: Path,
        old: Path | None,
        passphrase: bytes | None,
        why: str | None,
        *,
        lost: bool = False,
    ) -> None:
        """From now on the key `new` signs; `old` signs that it agrees, unless it is `lost`.

        Where `old` is None and the usual key is the one that goes, `new` is copied to its place,
        and it is kept beside it. Raises as `sign`.
        """

    def new_key(self, path: Path | None, name: str | None, passphrase: bytes | None) -> str:
        """Make an Ed25519 key at `path` (None: the usual place); its public half.

        Raises:
            UsageError: It is there already, or `name` cannot be a name.
            MissingDependencyError: `cryptography` is not installed.
        """

    def public_key(self, path: Path | None) -> str:
        """The public half of a key. Raises as `sign`."""

    def needs_passphrase(self, path: Path | None) -> bool:
        """Whether a key of ours is encrypted."""

    def proof_of(self, run_id: str) -> bytes:
        """The proof that the last seal of the run is in the ledger, as a text file.

        Raises:
            NotFoundError: It is not in the ledger.
        """

    def check_proof(self, data: bytes, keys: Sequence[str] = ()) -> Proof:
        """What the proof `data` proves; needs no store.

        Raises:
            IntegrityError: It proves nothing.
            UsageError: A key cannot be read.
        """


@runtime_checkable
class Auditing(Protocol):
    """A store whose ledger a run can insist on."""

    def enter_beginning(self, run_id: str, attempt: int) -> None:
        """Tell the ledger that an attempt at the run begins; on return that is durable.

        Where another process maintains the store it waits in the list of what is taken in later.

        Raises:
            StoreError: The ledger cannot be written; it does not tell of the attempt.
            IntegrityError: It is damaged, and takes nothing in before somebody has looked.
        """

    def enter_seal(self, run_id: str) -> None:
        """The same for the last seal of the run; where it is in the ledger already, that is all.

        Raises:
            NotFoundError: The run has no seal.
            StoreError, IntegrityError: As above; the seal itself stays.
        """


@runtime_checkable
class HasLedger(Protocol):
    """A store that keeps a ledger."""

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
