"""Another key takes over: who holds which public half can check what, and how one gets through."""

import os
from pathlib import Path

import pytest
from cli.support import call
from ledger.making import RUNS, add_run, filled, ledger, store_at

from instrument.errors import IntegrityError
from instrument_local import LocalStore

pytest.importorskip("cryptography", reason="makes keys")
LATER = "20260304-050609-000000000009"


@pytest.fixture(autouse=True)
def store(store_path: Path) -> Path:
    filled(store_path)
    return store_path


def made(name: str) -> Path:
    """A key in the current directory; its public half is beside it."""
    ours().ledger.new_key(Path(name), name, None)
    return Path(name)


def ours() -> LocalStore:
    return store_at(Path(os.environ["INSTRUMENT_STORE"]))


def half(name: str) -> str:
    return Path(f"{name}.pub").read_text().strip()


def rotated(*, lost: bool = False) -> None:
    """Signed by one, then two takes over and signs."""
    found = ours().ledger
    found.sign(made("one"), None)
    found.rotate(made("two"), Path("one"), None, None, lost=lost)
    found.sign(Path("two"), None)


def record_later() -> None:
    add_run(ours(), LATER)
    ours().ledger.sign(Path("two"), None)


def signer(run_id: str, key: str) -> str | None:
    """Who signed a proof of the run that is made now, for whoever holds `key`; by a bundle, too."""
    found, bundle = ours(), Path(f"{run_id}-{key}.bundle")
    signed_by = found.ledger.check_proof(found.ledger.proof_of(run_id), [half(key)]).signed_by
    name = signed_by.partition("+")[0] if signed_by else None
    assert call("export", run_id, "-o", bundle).code == 0
    try:
        done = store_at(Path("theirs")).bundles.import_(bundle, keys=[half(key)], dry_run=True)
    except IntegrityError:
        assert name is None
    else:
        assert done.verified == f"signed by {name}"
    return name


@pytest.mark.parametrize("lost", [False, True])
def test_the_new_key_proves_older_runs_too(lost: bool) -> None:
    ledger("sign", "--key", made("one"))
    ledger("key", "rotate", made("two"), "--lost" if lost else "--key=one")
    ledger("sign", "--key", "two")
    ledger("proof", RUNS[0], "-o", "x.proof")
    assert half("two") in ledger("check-proof", "x.proof", "--key", "two.pub").out
    assert call("export", RUNS[0], "-o", "x.bundle").code == 0
    done = call("--store", "theirs", "import", "x.bundle", "--require-signature", "two.pub")
    assert "verified: signed by two" in done.err


def test_whoever_trusts_the_old_key_goes_on() -> None:
    rotated()
    record_later()
    assert signer(RUNS[0], "one") == "two"
    assert signer(LATER, "one") == "two"
    ledger("proof", LATER, "-o", "x.proof")
    page = ledger("check-proof", "x.proof", "--key", "one.pub").out
    assert page.endswith(f"signed by {half('two')}, to which a given key agreed\n")
    page = ledger("check-proof", "x.proof", "--key", "two.pub").out
    assert page.endswith(f"signed by {half('two')}\n")


def test_trust_is_followed_over_many_keys_and_backwards_never() -> None:
    rotated()
    ours().ledger.rotate(made("three"), Path("two"), None, None)
    ours().ledger.sign(Path("three"), None)
    for name in ("one", "two", "three"):
        assert signer(RUNS[0], name) == "three"
    made("four")
    assert signer(RUNS[0], "four") is None


def test_a_key_that_is_announced_and_did_not_sign_yet_leaves_the_proof_of_before() -> None:
    ours().ledger.sign(made("one"), None)
    ours().ledger.rotate(made("two"), Path("one"), None, None)
    assert signer(RUNS[0], "one") == "one"
    assert signer(RUNS[0], "two") is None


def test_after_a_lost_key_the_refusal_names_the_way_out() -> None:
    rotated(lost=True)
    record_later()
    assert signer(LATER, "one") is None
    ledger("proof", LATER, "-o", "x.proof")
    told = ledger("check-proof", "x.proof", "--key", "one.pub", code=1).out
    assert "ask them for its public half" in told
    bundle = f"{LATER}-one.bundle"
    done = call("--store", "theirs", "import", bundle, "--require-signature", "one.pub")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "ask them for its public half" in done.err


def test_an_agreement_that_the_old_key_did_not_sign_is_refused() -> None:
    rotated()
    ledger("proof", RUNS[0], "-o", "true.proof")
    lines = Path("true.proof").read_text().splitlines(keepends=True)
    (agreed,) = (line for line in lines if line.startswith("— one "))
    for place in (30, 60, len(agreed) - 12):  # in the signature, and in the new key
        other = "A" if agreed[place] != "A" else "B"
        forged = [
            line.replace(agreed, agreed[:place] + other + agreed[place + 1 :]) for line in lines
        ]
        Path("x.proof").write_text("".join(forged))
        assert "proves nothing" in ledger("check-proof", "x.proof", "--key", "one.pub", code=1).err
        ledger("check-proof", "x.proof", "--key", "two.pub")  # needs no agreement
    Path("x.proof").write_text("".join(line for line in lines if line != agreed))
    ledger("check-proof", "x.proof", "--key", "one.pub", code=1)
    origin = next(line for line in lines if line.count("-") == 4 and len(line) == 37)
    Path("x.proof").write_text("".join(lines).replace(origin, f"another-{origin}"))
    ledger("check-proof", "x.proof", "--key", "one.pub", code=1)


def test_a_signature_of_something_else_does_not_stand_in_for_a_good_one(store: Path) -> None:
    rotated()
    (before,) = store.glob("ledger/checkpoints/5.note")
    record_later()
    (newest,) = set(store.glob("ledger/checkpoints/*.note")) - {before} - _of_one(store)
    text = newest.read_text().partition("\n\n")[0]
    newest.chmod(0o600)
    newest.write_text(f"{text}\n\n{before.read_text().splitlines()[-1]}\n")
    assert signer(RUNS[0], "two") == "two"


def _of_one(store: Path) -> set[Path]:
    return {path for path in store.glob("ledger/checkpoints/*") if "— one " in path.read_text()}


def usual(tmp_path: Path) -> Path:
    return tmp_path / "config/instrument/ledger.key"


def test_the_usual_key_is_replaced_and_the_old_one_is_kept(tmp_path: Path, store: Path) -> None:
    old = ledger("key", "new", "--name", "one").out.strip()
    private = usual(tmp_path).read_bytes()
    ledger("sign")
    done = ledger("key", "rotate", made("two"))
    assert f"beside it is kept {old}" in done.err
    shown = ledger("key", "show")
    assert (shown.out.strip(), shown.err) == (half("two"), "")
    assert "— two " in ledger("sign").out
    aside = usual(tmp_path).with_name(f"ledger.key.{old.split('+')[1]}")
    assert aside.read_bytes() == private
    assert {path.stat().st_mode & 0o777 for path in (aside, usual(tmp_path))} == {0o600}
    assert Path("two").read_bytes() == usual(tmp_path).read_bytes()
    names = {"ledger.key", "ledger.key.pub", aside.name, f"{aside.name}.pub"}
    assert {path.name for path in aside.parent.iterdir()} == names
    ledger("key", "rotate", aside)  # and back again
    assert ledger("key", "show").out.strip() == old
    ledger("key", "rotate", "two")
    assert aside.read_bytes() == private


def test_another_store_whose_key_was_put_aside_says_how_to_go_on(tmp_path: Path) -> None:
    ledger("key", "new", "--name", "one")
    other = tmp_path / "other"
    filled(other)
    there = {"INSTRUMENT_STORE": str(other)}
    for env in ({}, there):
        ledger("sign", env=env)
    ledger("key", "rotate", made("two"))
    warned = ledger("key", "show", env=there)
    assert warned.out.strip() == half("two")
    assert "warning: not this key signs the ledger of this store now, but one+" in warned.err
    told = ledger("sign", code=2, env=there).err
    commands = [each for each in told.split("`") if each.startswith("instrument ")]
    assert len(commands) == 2
    for command in commands:
        ledger(*command.split()[2:], env=there)
    assert "— two " in ledger("sign", env=there).out
    assert ledger("key", "show", env=there).err == ""


def test_a_usual_key_that_is_not_the_one_replaced_stays(tmp_path: Path) -> None:
    mine = ledger("key", "new", "--name", "mine").out
    ledger("sign", "--key", made("one"))
    done = ledger("key", "rotate", made("two"), "--lost")
    assert "`instrument ledger sign --key two`" in done.err
    assert usual(tmp_path).with_name("ledger.key.pub").read_text() == mine
    assert "but two+" in ledger("key", "show").err
    assert "sign --key FILE" in ledger("sign", code=2).err


def test_a_rotation_whose_key_cannot_be_put_there_says_so(tmp_path: Path) -> None:
    old = ledger("key", "new", "--name", "one").out
    ledger("sign")
    usual(tmp_path).with_name(f"ledger.key.{old.split('+')[1]}").write_text("another")
    told = ledger("key", "rotate", made("two"), code=2).err
    assert "two signs from now on, as the ledger says, but could not become the usual key" in told
    assert ledger("key", "show").out == old
    ledger("sign", "--key", "two")


def test_a_link_at_the_usual_place_stays_one(tmp_path: Path) -> None:
    usual(tmp_path).parent.mkdir(parents=True)
    made("one")
    for end in ("", ".pub"):
        usual(tmp_path).with_name(f"ledger.key{end}").symlink_to(Path(f"one{end}").absolute())
    ledger("sign")
    told = ledger("key", "rotate", made("two")).err
    assert "it is not your usual key: `instrument ledger sign --key two`" in told
    assert usual(tmp_path).is_symlink()
    assert Path("one.pub").read_text().startswith("one+")


def test_how_one_gets_a_second_key_is_told() -> None:
    made("one")
    told = ledger("key", "new", "-o", "one", code=2).err
    assert "key new --output FILE" in told
    assert "key rotate FILE" in told
    ledger("key", "new", "--key", "two")
    told = ledger("key", "rotate", "two", "--key", "one", code=2).err
    assert "no key signed this ledger yet" in told
    ledger("sign", "--key", "one")
    told = ledger("key", "rotate", made("three"), "--key", "two", code=2).err
    assert f"the key of this ledger, which is {half('one')}" in told
    assert "key rotate three --key FILE" in told
