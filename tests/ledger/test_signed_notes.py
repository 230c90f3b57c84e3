"""T52, T54: which notes, keys and signatures are refused, and that the good ones are not."""

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
from ledger.making import add_run, filled, kinds, verify

from instrument.errors import (
    InstrumentError,
    IntegrityError,
    MissingDependencyError,
    NotFoundError,
    UsageError,
)
from instrument.protocols.ledger import Evidence
from instrument_local import LocalStore
from instrument_local.ledger import keys, proofs
from instrument_local.ledger.notes import (
    MOST_SIGNATURES,
    Checkpoint,
    Key,
    Signature,
    parse_key,
    parse_line,
    parse_note,
    signer_of,
)

pytest.importorskip("cryptography", reason="signs what is checked here")
CHECKPOINT = Checkpoint("0b5e-store", 12, bytes(range(32)))
needs_ssh = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs ssh-keygen")


@pytest.fixture
def signer(tmp_path: Path) -> keys.Signer:
    keys.make(tmp_path / "ann.key", "ann@lab", None)
    return keys.load(tmp_path / "ann.key", None)


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    return filled(store_path)


def _note(signer: keys.Signer) -> bytes:
    return f"{CHECKPOINT.text}\n{signer.sign(CHECKPOINT.text)}\n".encode()


def test_the_note_and_the_key_of_the_specification_are_read() -> None:
    # The example of c2sp.org/signed-note: its key is not given there, so that only its form counts.
    line = (
        "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKO"
        "NrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc="
    )
    note = parse_note(f"{CHECKPOINT.text}\n{line}\n".encode())
    (signature,) = note.signatures
    assert signature.name == "quasimodo.example/salvatore"
    assert str(signature) == line
    assert len(signature.signature) == 64


def test_what_was_written_is_read_and_signed_by_whom_it_says(signer: keys.Signer) -> None:
    note = parse_note(_note(signer))
    assert note.checkpoint == CHECKPOINT == parse_line(CHECKPOINT.line)
    assert signer_of(CHECKPOINT.text, note.signatures[0], [signer.key]) == signer.key
    assert parse_key(str(signer.key)) == signer.key


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n12\n", "\n012\n"),
        ("\n12\n", "\n+12\n"),
        ("\n12\n", "\n-1\n"),
        ("\n12\n", "\n1_2\n"),
        ("\n12\n", "\n\u0661\u0662\n"),
        ("\n", "\r\n"),
        ("0b5e-store", ""),
        ("0b5e-store", "0b5e store"),
        ("0b5e-store", "0b5e\x1b[2Jstore"),
        ("AAECAwQF", "AAECAw"),
        ("Hh8=\n", "Hh8=\nan extension\n"),
        ("Hh8=\n", "Hh9=\n"),  # the same bytes, spelt in another way
        ("Hh8=\n\n", "Hh8=\n"),
        ("— ", "- "),
        ("— ann@lab ", "— ann+lab "),
        ("— ann@lab ", "— "),
    ],
)
def test_T52_other_spellings_are_refused(signer: keys.Signer, old: str, new: str) -> None:  # noqa: N802
    data = _note(signer).decode()
    assert old in data
    with pytest.raises(IntegrityError):
        parse_note(data.replace(old, new).encode())


@pytest.mark.parametrize("tail", ["\n", " ", "x", "\n\n— x", "\x00", "— ann@lab AAAA\n"])
def test_T52_trailing_data_is_refused(signer: keys.Signer, tail: str) -> None:  # noqa: N802
    with pytest.raises(IntegrityError):
        parse_note(_note(signer) + tail.encode())


def test_T52_ten_thousand_signatures_are_refused_at_once(signer: keys.Signer) -> None:  # noqa: N802
    line = f"{signer.sign(CHECKPOINT.text)}\n"
    start = f"{CHECKPOINT.text}\n"
    assert len(parse_note((start + 16 * line).encode()).signatures) == 16
    for number in (MOST_SIGNATURES + 1, 10_000):
        with pytest.raises(IntegrityError):
            parse_note((start + number * line).encode())
    with pytest.raises(IntegrityError):
        parse_note(b"\xff\xfe")


def test_T52_a_key_whose_id_collides_is_not_believed(signer: keys.Signer) -> None:  # noqa: N802
    real = signer.sign(CHECKPOINT.text)
    other = Key("ann@lab", bytes(32))
    forged = Signature(other.name, signer.key.id, bytes(64))
    with pytest.raises(IntegrityError, match="does not belong"):
        signer_of(CHECKPOINT.text, forged, [signer.key])
    assert signer_of(CHECKPOINT.text, real, [other]) is None
    renamed = Signature("bob@lab", real.key_id, real.signature)
    assert signer_of(CHECKPOINT.text, renamed, [signer.key]) is None


def test_T52_a_signature_by_another_key_does_not_count(  # noqa: N802
    store: LocalStore, signer: keys.Signer
) -> None:
    keys.make(keys.usual_path(), "bob@lab", None)
    store.ledger.sign(None, None)
    assert verify(store).signed_by == "bob@lab"
    result = verify(store, Evidence(keys=(str(signer.key),)))
    assert (result.verdict, result.signed_by) == ("incomplete", None)  # the given key is asked for
    assert kinds(result) == {"signature_missing"}
    assert "None of the given keys signed any of it." in result.says
    shutil.rmtree(keys.usual_path().parent)
    result = verify(store)
    assert (result.signed, result.signed_by) == (3 + 1, None)
    assert any("known from the store alone" in sentence for sentence in result.says)
    result = verify(store, Evidence(keys=(str(signer.key),)))
    assert "signature_missing" in kinds(result)
    assert result.verdict == "incomplete"  # nothing is shown to be wrong


def test_T54_a_key_is_private_and_never_overwritten(tmp_path: Path) -> None:  # noqa: N802
    path = tmp_path / "key"
    keys.make(path, "ann@lab", None)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="is there already"):
        keys.make(path, "ann@lab", None)
    for name in ("", "ann lab", "ann+lab", "ann\n"):
        with pytest.raises(UsageError, match="cannot name a key"):
            keys.make(tmp_path / "other", name, None)


def test_T54_a_key_that_cannot_be_used_says_why(tmp_path: Path) -> None:  # noqa: N802
    path = tmp_path / "key"
    with pytest.raises(NotFoundError, match="key new"):
        keys.load(path, None)
    keys.make(path, "ann@lab", b"open sesame")
    assert keys.load(path, b"open sesame").key == keys.public(path)
    with pytest.raises(UsageError, match="the passphrase is wrong"):
        keys.load(path, b"open barley")
    with pytest.raises(UsageError, match="the key has a passphrase"):
        keys.load(path, None)
    path.chmod(0o644)
    with pytest.raises(UsageError, match=r"others can read .* chmod 600"):
        keys.load(path, b"open sesame")
    path.chmod(0o600)
    plain = tmp_path / "plain"
    keys.make(plain, "ann@lab", None)
    with pytest.raises(UsageError, match="no passphrase, and one was given"):
        keys.load(plain, b"x")
    keys.public_path(plain).write_text(str(keys.public(path)))
    with pytest.raises(UsageError, match="is not the public half"):
        keys.load(plain, None)
    plain.write_bytes(b"garbage")
    with pytest.raises(UsageError, match="damaged"):
        keys.load(plain, None)
    plain.unlink()
    with pytest.raises(NotFoundError, match=r"private key .* is not there"):
        keys.load(plain, None)


def test_T54_without_cryptography_the_message_names_the_way_out(  # noqa: N802
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(MissingDependencyError, match=r"instrument-ml\[signing\].*--ssh"):
        keys.make(tmp_path / "key", "ann@lab", None)


def two_keys(directory: Path) -> tuple[Path, Path]:
    """The key of now and the next one, of the same person."""
    old, new = directory / "old", directory / "new"
    for path, name in ((old, "ann-1"), (new, "ann-2")):
        keys.make(path, name, None)
    return old, new


def test_T54_a_rotation_that_the_old_key_signed_is_believed(  # noqa: N802
    store: LocalStore, tmp_path: Path
) -> None:
    old, new = two_keys(tmp_path)
    store.ledger.sign(old, None)
    with pytest.raises(UsageError, match="is not the key of this ledger"):
        store.ledger.sign(new, None)
    store.ledger.rotate(new, old, None, "a new year")
    with pytest.raises(UsageError, match="is not the key of this ledger"):
        store.ledger.sign(old, None)
    store.ledger.sign(new, None)
    trusted = Evidence(keys=(str(keys.public(old)),))
    result = verify(store, trusted)
    assert (result.problems, result.signed, result.signed_by) == ((), 5, "ann-2")
    with pytest.raises(UsageError, match="was replaced"):
        store.ledger.rotate(tmp_path / "old", old, None, None)


def test_T54_a_rotation_without_the_old_key_is_told_and_not_trusted(  # noqa: N802
    store: LocalStore, tmp_path: Path
) -> None:
    old, new = two_keys(tmp_path)
    store.ledger.sign(old, None)
    store.ledger.rotate(new, None, None, "lost", lost=True)
    store.ledger.sign(new, None)
    result = verify(store, Evidence(keys=(str(keys.public(old)),)))
    assert kinds(result) == {"rotation_not_agreed"}
    assert (result.signed, result.signed_by) == (4, "ann-1")  # no farther than the old key reaches
    result = verify(store, Evidence(keys=(str(keys.public(new)),)))
    assert (result.signed, result.signed_by) == (5, "ann-2")


def test_T54_what_a_replaced_key_signs_afterwards_is_found(  # noqa: N802
    store: LocalStore, tmp_path: Path
) -> None:
    from instrument.clock import SystemClock
    from instrument_local.files import Disk
    from instrument_local.layout import Layout
    from instrument_local.ledger import checkpoints
    from instrument_local.ledger.log import Log

    old, new = two_keys(tmp_path)
    store.ledger.sign(old, None)
    store.ledger.rotate(new, old, None, None)
    layout = Layout(Path(store.location), SystemClock(), Disk())
    checkpoint = Log(layout).checkpoint()
    signature = keys.load(old, None).sign(checkpoint.text)
    checkpoints.keep(layout, checkpoint.size, f"{checkpoint.text}\n{signature}\n".encode())
    assert kinds(verify(store)) == {"signature_by_old_key"}


@needs_ssh
def test_an_ssh_key_signs_and_only_allowed_signers_count(store: LocalStore, tmp_path: Path) -> None:
    for name in ("ann", "bob"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]
        subprocess.run([*make, str(tmp_path / name)], check=True)
    store.ledger.sign_with_ssh(tmp_path / "ann")
    allowed = tmp_path / "allowed"

    def checked(line: str, name: str = "ann") -> tuple[str | None, set[str]]:
        allowed.write_text(f"{line} {(tmp_path / name).with_suffix('.pub').read_text()}")
        result = verify(store, Evidence(allowed_signers=allowed))
        return result.signed_by, kinds(result)

    assert checked("ann@lab") == ("ann@lab", set())
    assert checked('ann@lab namespaces="instrument-ledger"') == ("ann@lab", set())
    for line, name in (
        ("bob@lab", "bob"),
        ('ann@lab namespaces="git"', "ann"),
        ('ann@lab valid-before="20200101"', "ann"),  # T54: the key has expired
    ):
        assert checked(line, name) == (None, {"signature_unknown", "signature_missing"})
    result = verify(store)
    assert (result.problems, result.signed_by, result.signed) == ((), None, 3)
    (file,) = (Path(store.location) / "ledger/checkpoints").glob("*.ssh")
    data = file.read_bytes()
    file.write_bytes(data.replace(b"A", b"B", 1))
    assert kinds(verify(store)) == {"signature_wrong"}
    with pytest.raises(UsageError, match="ssh-keygen cannot sign"):
        store.ledger.sign_with_ssh(tmp_path / "nobody")


def test_a_proof_leads_to_its_own_entry_only(store: LocalStore, tmp_path: Path) -> None:
    keys.make(keys.usual_path(), "ann@lab", None)
    store.ledger.sign(None, None)
    add_run(store, "20260304-050609-000000000003")
    public = store.ledger.public_key(None)
    for run in store.runs():
        data = store.ledger.proof_of(run.id)
        proof = store.ledger.check_proof(data, [public])
        assert getattr(proof.event, "run_id", None) == run.id
        assert (proof.signed_by == public) is (run.id[-1] != "3")
        assert store.ledger.check_proof(data).signed_by is None
        accepted = []
        for position in range(len(data)):
            changed = bytearray(data)
            changed[position] ^= 1 << position % 8
            try:
                proofs.check(bytes(changed), [parse_key(public)])
                accepted.append(position)
            except InstrumentError:
                pass
        # The origin is covered by the signature alone, and a key id or name makes it unknown.
        note = data.index(b"\n\n") + 2
        assert all(position >= note for position in accepted)
    with pytest.raises(NotFoundError, match="is not in the ledger"):
        store.ledger.proof_of("20260304-nothing")


def test_a_proof_cannot_be_given_another_entry(store: LocalStore) -> None:
    first, second = (store.ledger.proof_of(run.id) for run in store.runs())
    extra = next(line for line in second.split(b"\n") if line.startswith(b"extra "))
    own = next(line for line in first.split(b"\n") if line.startswith(b"extra "))
    with pytest.raises(IntegrityError, match="does not lead"):
        store.ledger.check_proof(first.replace(own, extra))
    for bad in (b"", b"x", first[:-1], first + b"\n", first.replace(b"index ", b"index 0")):
        with pytest.raises(IntegrityError):
            store.ledger.check_proof(bad)
    assert base64.b64decode(own[6:]).startswith(b'{"event":"run_sealed"')
