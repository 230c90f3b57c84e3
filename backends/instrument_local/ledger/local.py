"""The ledger of a local store: joins the parts into what `instrument.protocols.ledger` asks for."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from instrument.audit import Event, KeyRotated, RunSealed, decode_event
from instrument.errors import InstrumentError, IntegrityError, NotFoundError, StoreError, UsageError
from instrument.protocols.ledger import Evidence, Ledger, LedgerEntry, LedgerVerification, Proof
from instrument_local.copying import Told, nobody
from instrument_local.files import store_errors
from instrument_local.findings import Findings
from instrument_local.layout import Layout, seal_number
from instrument_local.ledger import anchors, checkpoints, keys, pending, proofs, ssh
from instrument_local.ledger.check import LedgerChecker
from instrument_local.ledger.covering import Covering
from instrument_local.ledger.integrate import integrate, sweep
from instrument_local.ledger.log import Log
from instrument_local.ledger.notes import Checkpoint, Key, parse_key
from instrument_local.ledger.signatures import Keys, check_notes, check_ssh, rotation_text
from instrument_local.ledger.tree import Range, Tree, leaf_hash
from instrument_local.ledger.verdict import Anchor, Result
from instrument_local.maintenance import Maintenance, maintenance
from instrument_local.verify_runs import RunChecker

_WAIT_SECONDS = 30.0
_SHORT_WAIT_SECONDS = 1.0
_AT_MOST = 1024


class LocalLedger:
    """See `instrument.protocols.ledger.Ledger`.

    Args:
        layout: Where the store keeps things.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._log = Log(layout)

    def integrate(
        self, held: Maintenance | None = None, wait_seconds: float = _WAIT_SECONDS
    ) -> int:
        """See `instrument.protocols.ledger.Ledger`.

        Args:
            held: The maintenance lock, if the caller holds it.
            wait_seconds: How long to wait for it otherwise.
        """
        if self._layout.format is None:
            return 0
        sweep(self._layout)
        if not pending.paths(self._layout):
            return 0
        if held is not None:
            return integrate(self._layout, held)
        with maintenance(self._layout, "ledger", wait_seconds=wait_seconds) as own:
            return integrate(self._layout, own)

    def integrate_some(self) -> None:
        """Take in a bounded number of what waits, if nobody else maintains the store just now.

        On the way of a run that ends: what goes wrong is left to who looks next.
        """
        with suppress(InstrumentError, OSError), maintenance(self._layout, "ledger") as held:
            integrate(self._layout, held, at_most=_AT_MOST)

    def entries(self) -> Iterator[LedgerEntry]:
        """See `instrument.protocols.ledger.Ledger`.

        Raises:
            IntegrityError: An entry is damaged.
        """
        index = 0
        with store_errors("read the ledger"):
            for lines in self._log.read():
                for line in lines:
                    yield LedgerEntry(index, _decode(line, index))
                    index += 1
            for event in sorted(pending.waiting(pending.paths(self._layout))):
                yield LedgerEntry(None, _decode(event.line, None))

    def verify(self, evidence: Evidence, told: Told = nobody) -> LedgerVerification:
        """See `instrument.protocols.ledger.Ledger`."""
        if evidence.allowed_signers is not None:
            ssh.expect("no SSH signature can be checked")
        findings = Findings(self._layout, told)
        runs = RunChecker(self._layout, findings)
        result, checker = self._check(findings, evidence, runs)
        signature = result.signature
        return LedgerVerification(
            verdict=result.verdict,
            checkpoint=result.checkpoint.line if result.checkpoint.size else None,
            size=result.checkpoint.size,
            anchored=result.anchored,
            signed=signature.size if signature else 0,
            signed_by=signature.by if signature and signature.counts else None,
            pending=result.pending,
            dropped_runs=tuple(sorted(checker.dropped_runs)),
            problems=result.problems,
            says=result.says(),
        )

    def check_into(self, findings: Findings) -> LedgerChecker:
        """The same as a part of a check of the whole store."""
        return self._check(findings, Evidence(), None)[1]  # that check reads the journals

    def checkpoint(self) -> str:
        """See `instrument.protocols.ledger.Ledger`."""
        with store_errors("write a checkpoint"):
            return self._keep(self._current(), ())

    def sign(self, key: Path | None, passphrase: bytes | None) -> str:
        """See `instrument.protocols.ledger.Ledger`."""
        path = key or keys.usual_path()
        signer = keys.load(path, passphrase)
        with store_errors("sign a checkpoint"):
            current = self._announced()
            if current is None:
                self._announce(KeyRotated(old=None, new=str(signer.key), **_now()))
            elif current != signer.key:
                raise keys.not_in_force(signer.key, path, current)
            checkpoint = self._current()
            return self._keep(checkpoint, (signer.sign(checkpoint.text),))

    def sign_with_ssh(self, key: Path) -> str:
        """See `instrument.protocols.ledger.Ledger`."""
        with store_errors("sign a checkpoint"):
            checkpoint = self._current()
            signature = ssh.sign(checkpoint.text, key)
            checkpoints.keep(self._layout, checkpoint.size, signature, "ssh")
            return self._keep(checkpoint, ())

    def rotate(
        self,
        new: Path,
        old: Path | None,
        passphrase: bytes | None,
        why: str | None,
        *,
        lost: bool = False,
    ) -> None:
        """See `instrument.protocols.ledger.Ledger`."""
        key, current = keys.public(new), self._announced()
        if current is None:
            raise UsageError(
                "there is nothing to rotate: no key signed this ledger yet, and the first one that "
                f"does is its key: `instrument ledger sign --key {new}`"
            )
        if current == key:
            raise UsageError(f"there is nothing to rotate: the key of this ledger is {current}")
        signature = None
        if not lost:
            signer = keys.load(old or keys.usual_path(), passphrase)
            if signer.key != current:
                raise UsageError(
                    f"{signer.key} was replaced, or never was the key of this ledger, which is "
                    f"{current}; name its file: `instrument ledger key rotate {new} --key "
                    f"{keys.file_of(current)}`, or `--lost` where nobody has it"
                )
            text = rotation_text(self._log.origin, str(current), str(key))
            signature = str(signer.sign(text))
        event = KeyRotated(old=str(current), new=str(key), signature=signature, why=why, **_now())
        self._announce(event)
        if old is None:
            keys.make_usual(current, new)

    def new_key(self, path: Path | None, name: str | None, passphrase: bytes | None) -> str:
        """See `instrument.protocols.ledger.Ledger`."""
        who = pending.this_user()
        with store_errors("make a key"):
            made = keys.make(
                path or keys.usual_path(), name or f"{who.user or who.uid}@{who.host}", passphrase
            )
        return str(made)

    def public_key(self, path: Path | None) -> str:
        """See `instrument.protocols.ledger.Ledger`."""
        return str(keys.public(path or keys.usual_path()))

    def needs_passphrase(self, path: Path | None) -> bool:
        """See `instrument.protocols.ledger.Ledger`."""
        return keys.needs_passphrase(path or keys.usual_path())

    def proof_of(self, run_id: str) -> bytes:
        """See `instrument.protocols.ledger.Ledger`."""
        return self.proofs_of([run_id])[run_id]

    def proofs_of(self, run_ids: Iterable[str]) -> dict[str, bytes]:
        """As `proof_of`, for many runs at the cost of one.

        Raises:
            NotFoundError: One of them is not in the ledger.
        """
        with suppress(StoreError):  # a store that cannot be written to may have it all
            self.integrate()
        lines = [line for part in self._log.read() for line in part]
        tree = Tree(list(map(leaf_hash, lines)))
        last: dict[str, tuple[int, int]] = {}
        rotations = []
        for index, line in enumerate(lines):
            event = _decode(line, index)
            if isinstance(event, KeyRotated):
                rotations.append(event)
            if isinstance(event, RunSealed):
                # Those of an import may be entered in another order.
                seal = seal_number(Path(event.seal)), index
                last[event.run_id] = max(seal, last.get(event.run_id, seal))
        places = {run_id: index for run_id, (_, index) in last.items()}
        notes = [stored.note for stored in checkpoints.load(self._layout, Findings(self._layout))]
        covering = Covering(self._log.origin, tree, notes, rotations)
        return {run_id: _proof(lines, tree, _place(places, run_id), covering) for run_id in run_ids}

    def check_proof(self, data: bytes, keys: Sequence[str] = ()) -> Proof:
        """See `instrument.protocols.ledger.Ledger`."""
        return proofs.check(data, [parse_key(key) for key in keys])

    def _current(self) -> Checkpoint:
        """The checkpoint of now, with all that waited taken in.

        Raises:
            NotFoundError: The ledger is empty.
            IntegrityError: It does not begin with the checkpoint that this user saw last.
        """
        if self._layout.lacks_format():
            self._layout.create()  # a checkpoint names the store
        self._expect_what_was_seen()  # before what is taken in hides how much is gone
        self.integrate()
        checkpoint = self._log.checkpoint()
        if not checkpoint.size:
            raise NotFoundError("the ledger is empty: no run was closed yet")
        return checkpoint

    def _keep(self, checkpoint: Checkpoint, signatures: tuple[object, ...]) -> str:
        note = checkpoint.text + "".join(f"\n{each}\n" for each in signatures)
        if signatures or not checkpoints.is_kept(self._layout, checkpoint):
            checkpoints.keep(self._layout, checkpoint.size, note.encode())
        anchors.remember(checkpoint, _today())
        return note

    def _expect_what_was_seen(self) -> None:
        """See that the next checkpoint will stand for what this user saw last, too.

        Raises:
            IntegrityError: It would be of an older copy of the ledger, or of another history.
        """
        seen = anchors.last_seen(self._log.origin)
        if seen is not None and not self._begins_with(seen[0]):
            raise IntegrityError(
                f"the ledger does not begin with the {seen[0].size} entries whose checkpoint this "
                f"user saw on {seen[1].at}: it is of an older copy, or of another history, and "
                "gets no new checkpoint from here; `instrument ledger verify` tells more"
            )

    def _begins_with(self, older: Checkpoint) -> bool:
        if older.size > self._log.tree().size:
            return False
        tree = Range()
        for lines in self._log.read(0, older.size):
            tree.extend(map(leaf_hash, lines))
        return tree.root() == older.root

    def _announced(self) -> Key | None:
        """The key that signs the checkpoints of this ledger."""
        found = [entry.event for entry in self.entries() if isinstance(entry.event, KeyRotated)]
        return parse_key(found[-1].new) if found else None

    def _announce(self, event: KeyRotated) -> None:
        self._expect_what_was_seen()
        pending.note(self._layout, event)
        self.integrate()

    def _take_in(self, older: Iterable[Anchor]) -> None:
        """Enter what waits, unless entries are gone: that would hide how many those are."""
        sizes = [anchor.checkpoint.size for anchor in older]
        for kind in ("note", "ssh"):
            sizes += [size for size, _ in checkpoints.paths(self._layout, kind)]
        with suppress(InstrumentError, OSError):  # where that cannot be, what waits is told
            if self._log.tree().size >= max(sizes, default=0):
                self.integrate(wait_seconds=_SHORT_WAIT_SECONDS)

    def _check(
        self, findings: Findings, evidence: Evidence, runs: RunChecker | None
    ) -> tuple[Result, LedgerChecker]:
        origin, older = self._log.origin, anchors.brought(self._log.origin, evidence.since)
        self._take_in(older)
        stored = checkpoints.load(self._layout, findings)
        ssh_sizes = [size for size, _ in checkpoints.paths(self._layout, "ssh")]
        sizes = {each.note.checkpoint.size for each in stored}.union(ssh_sizes)
        sizes.update(anchor.checkpoint.size for anchor in older)
        checker = LedgerChecker(self._layout, findings, sizes, runs)
        checker.check()
        fitting = checkpoints.compare(stored, origin, checker.roots, findings)
        older = anchors.compare(older, checker.roots, findings, self._log.entries)
        asked_for = bool(evidence.keys or evidence.allowed_signers)
        brought = dict.fromkeys(_own_key(), not asked_for)
        brought |= dict.fromkeys(map(parse_key, evidence.keys), True)
        by = Keys(origin, checker.rotations, brought, findings, self._log.entries)
        signed = check_notes(stored, fitting, by, findings)
        signed += check_ssh(self._layout, origin, checker.roots, evidence.allowed_signers, findings)
        if asked_for and not any(each.counts for each in signed):
            expected = "a checkpoint that the given keys signed"
            findings.add("signature_missing", self._log.entries, expected, "none")
        result = Result(
            checkpoint=Checkpoint(origin, checker.tree.size, checker.tree.root()),
            problems=findings.result().problems,
            pending=checker.pending,
            begun=len(checker.open_runs),
            dropped=len(checker.dropped_runs),
            late=checker.late,
            anchors=tuple(older),
            signed=tuple(signed),
        )
        if result.verdict != "tampered" and result.checkpoint.size and self._layout.store_id:
            anchors.remember(result.checkpoint, _today())
        return result, checker


def _decode(line: bytes, index: int | None) -> Event:
    try:
        return decode_event(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        where = "an event that waits" if index is None else f"entry {index}"
        raise IntegrityError(
            f"{where} of the ledger is damaged ({error}); `instrument ledger verify` tells more"
        ) from error


def _proof(lines: list[bytes], tree: Tree, index: int, covering: Covering) -> bytes:
    """Up to the best checkpoint that is signed, or to the ledger as it is."""
    note = covering.of(index)
    return proofs.write(lines[index], index, tree.inclusion(index, note.checkpoint.size), str(note))


def _place(places: dict[str, int], run_id: str) -> int:
    if run_id not in places:
        raise NotFoundError(f"run {run_id} is not in the ledger: it was not closed yet")
    return places[run_id]


def _own_key() -> list[Key]:
    """The public key of whoever checks, if there is one."""
    with suppress(InstrumentError, RuntimeError):
        return [keys.public(keys.usual_path())]
    return []


def _today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


def _now() -> dict[str, Any]:
    return {"at": datetime.now(UTC), "who": pending.this_user()}


def _check(ledger: LocalLedger) -> Ledger:
    """A static check: a `LocalLedger` is a `Ledger`."""
    return ledger
