"""``instrument ledger`` as people and programs use it, and as docs/ledger.md shows it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from cli.support import call
from ledger.making import RUNS, filled, forget, ledger

import instrument
from instrument_local.stamps import stamp

DOCUMENT = (Path(__file__).parents[2] / "docs/ledger.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def store(store_path: Path) -> Path:
    filled(store_path)
    return store_path


def test_the_log_tells_what_who_when_and_why() -> None:
    events = ledger("log", "--json").json
    assert [event["event"] for event in events].count("run_sealed") == 2
    assert all(event["index"] is None for event in events)
    ledger("verify")
    events = ledger("log", "--json").json
    assert [event["index"] for event in events] == [0, 1, 2]
    assert {event.get("run_id") for event in events} == {*RUNS, None}
    page = ledger("log").out
    assert f"run {RUNS[0]} closed" in page
    assert "model:best is v1" in page


def test_the_verdict_decides_the_exit_code(store: Path) -> None:
    first = ledger("verify", "--json").json
    assert (first["verdict"], first["size"], first["problems"]) == ("ok-unanchored", 3, [])
    assert "this check cannot know" in " ".join(first["says"])
    assert ledger("verify").out.splitlines()[-1].startswith("ok: ")
    (directory,) = store.glob(f"runs/*/{RUNS[0]}")
    shutil.rmtree(directory)
    result = ledger("verify", "--json", code=1).json
    assert result["verdict"] == "tampered"
    assert [each["kind"] for each in result["problems"]] == ["seal_missing"]
    assert "seal missing" in ledger("verify", code=1).out
    assert call("verify").code == 1


def test_who_put_the_store_back_to_an_older_copy_is_told_what_to_remove(
    store: Path, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    shutil.copytree(store, backup)
    model = tmp_path / "model.bin"
    model.write_bytes(b"newer")
    assert call("artifacts", "log", "newer", model).code == 0
    assert "If the store was" not in call("verify").out
    ledger("verify")
    rolled_back = call("--store", backup, "verify")
    assert rolled_back.code == 1
    assert "Two copies of a store that are both used look so, too" in rolled_back.out
    (way_out,) = re.findall(r"If the store was rightly put back .*, remove (.*)\.", rolled_back.out)
    Path(way_out).unlink()
    assert call("--store", backup, "verify").code == 0


def _edit_an_entry(store: Path, old: bytes = b'"model"', new: bytes = b'"medel"') -> None:
    (entries,) = store.glob("ledger/entries/*.jsonl")
    entries.chmod(0o600)
    data = entries.read_bytes()
    assert old in data
    entries.write_bytes(data.replace(old, new))


def _sign(tmp_path: Path) -> Path:
    """Sign the ledger; the public key in a file."""
    pytest.importorskip("cryptography", reason="makes a key")
    ledger("key", "new", "--name", "ann@lab")
    ledger("sign")
    public = tmp_path / "ann.pub"
    public.write_text(ledger("key", "show").out)
    return public


@pytest.mark.parametrize("is_cut", [False, True])
def test_the_signature_of_other_entries_is_not_said_to_be_of_these(
    store: Path, tmp_path: Path, is_cut: bool
) -> None:
    public = _sign(tmp_path)
    whole = ledger("verify", "--key", public, "--json").json
    assert (whole["signed"], whole["signed_by"], whole["anchored"]) == (4, "ann@lab", 4)
    _edit_an_entry(store, *([b"}\n", b"}"] if is_cut else []))
    result = ledger("verify", "--key", public, "--json", code=1).json
    assert (result["verdict"], result["size"]) == ("tampered", 0 if is_cut else 4)
    assert (result["signed"], result["signed_by"], result["anchored"]) == (0, None, 0)
    assert "signature_missing" not in {each["kind"] for each in result["problems"]}
    page = ledger("verify", "--key", public, code=1).out
    assert "The signature of ann@lab under 4 entries does not fit these entries." in page
    assert "of 4 entries, does not fit these entries." in page
    assert "made them up" not in page
    assert "those that ann@lab signed" not in page


def test_a_signature_of_the_first_entries_still_fits_when_later_ones_do_not(
    store: Path, tmp_path: Path
) -> None:
    public = _sign(tmp_path)
    model = tmp_path / "model.bin"
    model.write_bytes(b"newer")
    assert call("artifacts", "log", "newer", model).code == 0
    ledger("sign")
    _edit_an_entry(store, b"newer", b"older")
    result = ledger("verify", "--key", public, "--json", code=1).json
    assert (result["size"], result["signed"], result["signed_by"]) == (5, 4, "ann@lab")
    page = "\n".join(result["says"])
    assert "The first 4 entries are those that ann@lab signed." in page
    assert "The signature of ann@lab under 5 entries does not fit these entries." in page


def _ssh_key(tmp_path: Path) -> Path:
    if not shutil.which("ssh-keygen"):
        pytest.skip("needs ssh-keygen")
    key = tmp_path / "id"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return key


def test_an_ssh_signature_of_other_entries_does_not_fit(store: Path, tmp_path: Path) -> None:
    ledger("sign", "--ssh", _ssh_key(tmp_path))
    assert ledger("verify", "--json").json["signed"] == 3
    _edit_an_entry(store)
    result = ledger("verify", "--json", code=1).json
    assert result["signed"] == 0
    said = "The signature of an SSH key under 3 entries does not fit these entries."
    assert said in result["says"]


def test_without_ssh_keygen_an_ssh_signature_is_not_checked_and_that_is_told(
    tmp_path: Path,
) -> None:
    key = _ssh_key(tmp_path)
    ledger("sign", "--ssh", key)
    allowed = tmp_path / "allowed"
    allowed.write_text(f"ann@lab {key.with_suffix('.pub').read_text()}")
    (tmp_path / "bin").mkdir()
    without = {"PATH": str(tmp_path / "bin")}
    refused = ledger("verify", "--allowed-signers", allowed, env=without, code=3)
    assert refused.err.startswith("error: ssh-keygen is not installed, and without it no SSH sig")
    noted = ledger("verify", "--json", env=without).json
    assert [(each["kind"], each["severity"]) for each in noted["problems"]] == [
        ("signature_unchecked", "note")
    ]
    assert ledger("verify", "--allowed-signers", allowed, "--json").json["signed_by"] == "ann@lab"


def test_an_ssh_key_is_told_to_count_in_no_proof_or_bundle(tmp_path: Path) -> None:
    key = _ssh_key(tmp_path)
    ledger("sign", "--ssh", key)
    ledger("proof", RUNS[0], "-o", tmp_path / "proof")
    assert "— " not in (tmp_path / "proof").read_text()
    assert call("export", RUNS[0], "-o", tmp_path / "bundle").code == 0
    public = key.with_suffix(".pub")
    for arguments in (
        ("ledger", "check-proof", tmp_path / "proof", "--key", public),
        ("import", tmp_path / "bundle", "--require-signature", public),
        ("ledger", "verify", "--key", public.read_text()),
    ):
        refused = call(*arguments)
        assert refused.code == 2
        assert "is an SSH key: its signatures are checked by" in refused.err
        assert refused.err.count("\n") == 1


def test_a_private_key_that_is_given_for_a_public_one_is_not_shown(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="makes a key")
    private = tmp_path / "one.key"
    ledger("key", "new", "--output", private)
    told = ledger("verify", "--key", private, code=2).err
    assert "the file that ends in .pub" in told
    assert private.read_text().splitlines()[1][:20] not in told


@pytest.mark.parametrize("command", [("rotate",), ("show", "--key")])
def test_a_key_that_is_not_there_is_named_as_it_was_given(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    public = _sign(tmp_path)
    told = ledger("key", *command, "nosuch.key", code=2).err
    assert told.startswith("error: there is no private key at nosuch.key; ")
    told = ledger("key", *command, public, code=2).err
    assert f"{public} is the public half of a key; name its private half, " in told
    assert ".pub.pub" not in told
    Path("lone.key").touch()
    told = ledger("key", *command, "lone.key", code=2).err
    assert told == ("error: lone.key has no public half beside it: lone.key.pub is missing\n")


@pytest.mark.parametrize("damage", ["journal", "seal", "entry", "cut"])
def test_damage_is_not_said_to_be_another_copy(store: Path, damage: str) -> None:
    ledger("verify")
    (directory,) = store.glob(f"runs/*/{RUNS[0]}")
    (journal,) = directory.glob("*.jsonl")
    if damage == "journal":
        journal.chmod(0o600)
        journal.write_bytes(journal.read_bytes()[:-30])
    elif damage == "seal":
        shutil.rmtree(directory)
    else:
        _edit_an_entry(store, *([b"}\n", b"}"] if damage == "cut" else []))
    page = ledger("verify", code=1).out
    assert "Two copies" not in page
    assert "remove" not in page
    fits = damage in {"journal", "seal"}
    assert ("It begins with the 3 entries" in page) is fits
    assert ("does not fit these entries" in page) is not fits
    assert "Two copies" not in call("verify").out


def _copy_and_go_on(store: Path, tmp_path: Path) -> Path:
    """A copy of the store as it is, before one entry more."""
    ledger("verify")
    older = tmp_path / "older"
    shutil.copytree(store, older)
    model = tmp_path / "model.bin"
    model.write_bytes(b"newer")
    assert call("artifacts", "log", "newer", model).code == 0
    return older


@pytest.mark.parametrize("command", ["checkpoint", "sign"])
def test_a_checkpoint_that_was_given_is_the_last_one_seen(
    store: Path, tmp_path: Path, command: str
) -> None:
    if command == "sign":
        pytest.importorskip("cryptography", reason="makes a key")
        ledger("key", "new", "--name", "ann@lab")
        ledger("sign")
    older = _copy_and_go_on(store, tmp_path)
    ledger(command)
    rolled_back = call("--store", older, "ledger", "verify", "--json")
    assert rolled_back.code == 1
    assert [each["kind"] for each in rolled_back.json["problems"]] == ["ledger_rolled_back"]


def test_no_checkpoint_is_given_that_does_not_begin_with_the_last_one_seen(
    store: Path, tmp_path: Path
) -> None:
    pytest.importorskip("cryptography", reason="makes a key")
    ledger("key", "new", "--name", "ann@lab")
    older = _copy_and_go_on(store, tmp_path)
    ledger("checkpoint")
    (seen,) = (tmp_path / "state").rglob("*.json")
    before = seen.read_bytes()
    size = len(list(older.glob("ledger/checkpoints/*")))
    for turn in ("older", "fork"):
        for command in ("sign", "checkpoint"):
            refused = call("--store", older, "ledger", command)
            assert (refused.code, refused.out) == (1, ""), (turn, refused)
            assert "the ledger does not begin with the 4 entries" in refused.err
            assert refused.err.count("\n") == 1
        for name in ("one", "two", "three"):
            assert (
                call("--store", older, "artifacts", "log", name, tmp_path / "model.bin").code == 0
            )
    assert seen.read_bytes() == before
    assert len(list(older.glob("ledger/checkpoints/*"))) == size
    assert b"key_rotated" not in b"".join(map(Path.read_bytes, older.glob("ledger/entries/*")))
    assert "Two copies" in call("--store", older, "ledger", "verify").out
    ledger("verify")


def test_an_edited_number_shows_wherever_the_run_does(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger("verify")
    pages = [call("runs", command, RUNS[0]) for command in ("show", "metrics")]
    assert [page.err for page in pages] == ["", ""]
    (journal,) = store.glob(f"runs/*/{RUNS[0]}/*.jsonl")
    journal.chmod(0o600)
    data = journal.read_bytes()
    journal.write_bytes(data.replace(b'"loss":0.5', b'"loss":0.9'))
    assert journal.read_bytes() != data
    name = journal.relative_to(store).as_posix()
    (problem,) = ledger("verify", "--json", code=1).json["problems"]
    assert problem["path"] == name
    assert journal.name in ledger("verify", code=1).out
    warning = (
        f"warning: {name} is not as it was when the run was sealed: `instrument verify {RUNS[0]}`\n"
    )
    for command in (
        ("show",), ("show", "--json"), ("metrics",), ("metrics", "--csv"), ("calls",), ("console",),
        ("telemetry",),
    ):  # fmt: skip
        done = call("runs", *command, RUNS[0])
        assert done.code == 0
        assert done.err.startswith(warning)
        assert "warning" not in call("runs", *command, RUNS[1]).err
    assert call("runs", "diff", RUNS[1], RUNS[0]).err == warning
    assert capsys.readouterr().err == ""
    instrument.metric_history(RUNS[0])
    assert capsys.readouterr().err == f"instrument: {warning}"


def test_what_cannot_be_taken_in_is_incomplete(store: Path) -> None:
    lock = {"host": "elsewhere", "boot_id": None, "pid": 1, "process_start": None}
    lock |= {"pid_namespace": None, "at": "2026-01-02T03:04:05Z", "doing": "gc"}
    (store / "maintenance").mkdir()
    (store / "maintenance/1.json").write_bytes(stamp(msgspec.json.encode(lock)))
    result = ledger("verify", "--json", code=3).json
    assert (result["verdict"], result["pending"]) == ("incomplete", 3)


def test_bad_input_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "garbage").write_bytes(b"\xff\x00")
    for arguments in (
        ("verify", "--since", "nonsense"),
        ("verify", "--since", str(tmp_path / "garbage")),
        ("verify", "--key", "nonsense"),
        ("verify", "--key", str(tmp_path / "garbage")),
        ("verify", "--allowed-signers", str(tmp_path / "nothing")),
        ("sign", "--key", str(tmp_path / "nothing")),
        ("sign", "--key", "a", "--ssh", "b"),
        ("key", "show"),
        ("proof", "nothing"),
        ("check-proof", str(tmp_path / "nothing")),
    ):
        done = ledger(*arguments, code=2)
        assert done.err.startswith("error: "), arguments
        assert done.err.count("\n") == 1, arguments
    garbage = tmp_path / "garbage"
    told = ledger("check-proof", garbage, code=1).err
    assert told.startswith(f"error: {garbage} proves nothing: ")
    told = ledger("verify", "--since", "/nope", code=2).err
    assert told.startswith("error: '/nope' is neither a file nor a checkpoint; use the line")


def test_a_passphrase_comes_from_the_environment() -> None:
    pytest.importorskip("cryptography", reason="makes a key")
    locked = {"INSTRUMENT_LEDGER_PASSPHRASE": "open sesame"}
    ledger("key", "new", "--passphrase", env=locked)
    assert "has a passphrase" in ledger("sign", code=2).err
    wrong = {"INSTRUMENT_LEDGER_PASSPHRASE": "open barley"}
    assert "passphrase is wrong" in ledger("sign", code=2, env=wrong).err
    assert "— " in ledger("sign", env=locked).out


def test_the_commands_of_the_document_do_what_it_says(
    monkeypatch: pytest.MonkeyPatch, store: Path
) -> None:
    pytest.importorskip("cryptography", reason="makes a key")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    blocks = re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        done = subprocess.run(
            ["bash", "-e", "-c", block], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (block, done.stderr)
    assert "signed by ann@lab-2+" in done.stdout
    assert "to which a given key agreed" in done.stdout  # ann.pub is of before the rotation


def test_the_script_of_the_document_follows_a_proof(tmp_path: Path) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    line = ledger("checkpoint").out.strip()
    proof = tmp_path / "run.tlog-proof"
    for run_id in RUNS:
        ledger("proof", run_id, "--output", proof)
        command = [sys.executable, "-I", "-c", script, str(proof)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        event, where = done.stdout.splitlines()
        assert json.loads(event)["run_id"] == run_id
        assert where == f"is in {line}"
        text = proof.read_text()
        index = int(text.partition("\nindex ")[2].partition("\n")[0])
        proof.write_text(text.replace(f"\nindex {index}\n", f"\nindex {(index + 1) % 3}\n"))
        changed = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "does not hold" in changed.stderr


def test_somebody_without_the_store_checks_a_proof(store: Path, tmp_path: Path) -> None:
    proof = tmp_path / "run.tlog-proof"
    ledger("proof", RUNS[0], "--output", proof)
    shutil.rmtree(store)
    forget(store)
    result = ledger("check-proof", proof, "--json").json
    assert result["event"]["run_id"] == RUNS[0]
    assert not store.exists()
    assert "no given key signed it" in ledger("check-proof", proof).out
