import shutil
from pathlib import Path

import pytest
from cli.support import Cli, Writer


def test_an_intact_store(cli: Cli, writer: Writer) -> None:
    model = writer.artifact("model", b"weights")
    writer.run("only-run", makes=(model,))
    result = cli("verify", "--json")
    assert result.code == 0
    assert result.json["ok"] is True
    assert result.json["problems"] == []
    assert result.json["checked"].keys() == {"runs", "objects", "bytes"}
    assert result.json["checked"]["runs"] == 1
    for selector in ("latest", "only", "model", "model:v1"):
        assert cli("verify", selector).code == 0
    assert cli("verify").out.startswith("intact: 1 run")


def test_damage_is_a_no(cli: Cli, writer: Writer) -> None:
    model = writer.artifact("model", b"weights")
    writer.damage(model)
    result = cli("verify", "--json")
    assert result.code == 1
    assert result.json["ok"] is False
    [problem] = result.json["problems"]
    assert problem.keys() >= {"kind", "path", "expected", "found"}
    page = cli("verify")
    assert page.code == 1
    digits = model.digest.removeprefix("sha256:")
    assert problem["path"].endswith(digits), "whole for programs"
    assert digits not in page.out
    assert digits[:12] in page.out
    assert "  model:v1  " in page.out
    assert "damaged: 1 problem" in page.out
    assert cli("verify", "model:v1").code == 1


def test_a_damaged_snapshot_belongs_to_its_runs(cli: Cli, writer: Writer) -> None:
    writer.run("run-a")
    writer.run("run-b")
    digest = cli("runs", "show", "run-a", "--json").json["environment"]
    lies = writer.store.path_of(digest)
    assert lies is not None
    lies.chmod(0o644)
    lies.write_bytes(b"changed")
    page = cli("verify").out
    assert "run run-a" in page
    assert "run run-b" in page


def test_no_store_is_not_an_intact_store(cli: Cli, store_path: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for place in (tmp_path / "typo", empty):
        for command in (["verify"], ["runs", "list"], ["runs", "list", "--json"]):
            result = cli("--store", place, *command)
            assert (result.code, result.out) == (3, "")
            assert result.err.startswith(f"error: there is no store at {place}; ")
        assert not any(place.glob("*")), "looking must not make a store"
        assert f"there is no store at {place}" in cli("--store", place, "doctor").out
    assert f"there is no store at {store_path}" in cli("verify").err
    typo = tmp_path / "file"
    typo.touch()
    assert (
        cli("--store", typo, "verify").err == f"error: {typo} is a file; a store is a directory\n"
    )


def test_where_the_option_of_the_store_stands_is_told(cli: Cli, store_path: Path) -> None:
    refused = cli("runs", "list", "--store", store_path)
    assert refused.code == 2
    assert "--store stands before the command: instrument --store" in refused.err


def test_a_store_that_has_lost_its_format_is_still_verified(
    cli: Cli, writer: Writer, store_path: Path
) -> None:
    writer.run("only-run")
    (store_path / "FORMAT").unlink()
    assert "there is no store" not in cli("verify").err


def test_a_note_is_told_and_the_store_is_intact(cli: Cli, writer: Writer, store_path: Path) -> None:
    writer.run("only-run")
    (store_path / "objects" / "README").write_text("mine")
    page = cli("verify")
    assert page.code == 0
    assert "unexpected file" in page.out
    assert "objects/README" in page.out
    assert "intact: 1 run" in page.out
    assert "1 note" in page.out


def test_a_part_is_checked_with_all_that_it_refers_to(
    cli: Cli, writer: Writer, store_path: Path
) -> None:
    used, made = writer.artifact("data", b"rows"), writer.artifact("model", b"weights")
    writer.run("only-run", uses=(used,), makes=(made,))
    writer.run("other-run")
    assert cli("verify", "only-run").code == 0
    writer.damage(used)
    assert cli("verify", "only-run").code == 1
    assert cli("verify", "data:v1").code == 1
    assert cli("verify", "model:v1").code == 0
    assert cli("verify", "other-run").code == 0
    (seal,) = store_path.glob("runs/*/other-run/run.json")
    cli("ledger", "verify")
    seal.unlink()
    [problem] = cli("verify", "other-run", "--json").json["problems"]
    assert (problem["kind"], problem["severity"]) == ("seal_missing", "damage")
    assert "as the ledger says" in problem["expected"]


def test_repair_shows_its_plan_then_does_it_then_has_nothing_to_do(
    cli: Cli, writer: Writer, tmp_path: Path
) -> None:
    model = writer.artifact("model", b"weights")
    writer.damage(model)
    plan = cli("repair", "--dry-run", "--json")
    assert plan.code == 1
    assert plan.json["dry_run"] is True
    assert [step["action"] for step in plan.json["steps"]] == ["quarantined"]
    assert plan.json["steps"][0].keys() == {"path", "kind", "action", "detail", "error"}
    assert "would take 1 step" in cli("repair", "--dry-run").err
    (tmp_path / "model.bin").write_bytes(b"weights")
    (tmp_path / "elsewhere").mkdir()
    places = ("--from", tmp_path / "elsewhere", "--from", tmp_path / "model.bin")
    done = cli("repair", *places, "--why", "a broken disk")
    assert done.code == 0, done
    assert done.err.splitlines()[1:] == [
        f"{places[1]} has nothing that is missed here, of what `repair` brings back"
    ]
    assert "quarantined" in done.out
    assert "restored" in done.out
    assert "intact" in done.out
    again = cli("repair")
    assert (again.code, again.err) == (0, "nothing to repair\n")
    log = cli("ledger", "log").out
    assert "a broken disk" in log
    assert cli("artifacts", "get", "model", "-o", tmp_path / "out").code == 0


def test_repair_says_what_is_lost(cli: Cli, writer: Writer) -> None:
    writer.damage(writer.artifact("model", b"weights"))
    page = cli("repair")
    assert page.code == 1
    assert "object missing" in page.out
    assert "damaged: 1 problem" in page.out
    assert cli("repair").code == 1, "as long as it is lost"


def test_repair_names_what_mends_a_journal(cli: Cli, writer: Writer, tmp_path: Path) -> None:
    writer.run("only-run")
    assert cli("repair").code == 0
    bundle = tmp_path / "only.bundle"
    assert cli("export", "only-run", "-o", bundle).code == 0
    [journal] = Path(writer.store.location).glob("runs/*/*/*.jsonl")
    journal.chmod(0o600)
    journal.write_bytes(journal.read_bytes()[:-30])
    cut = cli("repair")
    assert cut.code == 1
    assert "nothing to repair" not in cut.err
    assert "move the file out of the store, then `instrument import`" in cut.err
    journal.rename(tmp_path / journal.name)
    assert "a journal that is gone: `instrument repair --from PATH`" in cli("repair").err
    assert cli("import", bundle).code == 0
    assert cli("repair").err == "nothing to repair\n"


def test_repair_names_what_mends_anything_else(cli: Cli, writer: Writer) -> None:
    writer.run("only-run")
    model = writer.artifact("model", b"weights")
    assert cli("ledger", "checkpoint").code == 0
    writer.damage(model)
    [entries] = Path(writer.store.location).glob("ledger/entries/*")
    entries.chmod(0o600)
    entries.write_bytes(entries.read_bytes().replace(b"run_sealed", b"run_sealee", 1))
    told = cli("repair").err
    assert "lost content: `instrument repair --from PATH`" in told
    assert "the ledger: only the same file from a copy of the store mends it" in told


@pytest.mark.parametrize("is_gone", [True, False])
def test_repair_names_what_mends_a_ledger_that_is_gone_or_cut(
    cli: Cli, writer: Writer, store_path: Path, is_gone: bool
) -> None:
    writer.run("only-run")
    writer.artifact("model", b"weights")
    assert cli("artifacts", "tag", "model:v1", "best").code == 0  # no file but the ledger's has it
    assert cli("ledger", "verify").code == 0
    if is_gone:
        shutil.rmtree(store_path / "ledger")
    else:
        [entries] = store_path.glob("ledger/entries/*")
        entries.chmod(0o600)
        entries.write_bytes(b"".join(entries.read_bytes().splitlines(keepends=True)[:-1]))
    told = cli("repair")
    assert told.code == 1
    assert "the ledger: only the same file from a copy of the store mends it" in told.err


def test_repair_names_what_mends_a_run_that_is_gone(
    cli: Cli, writer: Writer, store_path: Path, tmp_path: Path
) -> None:
    writer.run("only-run")
    assert cli("repair").code == 0
    bundle = tmp_path / "only.bundle"
    assert cli("export", "only-run", "-o", bundle).code == 0
    [directory] = store_path.glob("runs/*/only-run")
    shutil.rmtree(directory)
    told = cli("repair")
    assert told.code == 1
    assert "a run or a seal that is gone: put it back from a copy of the store" in told.err
    assert "`instrument import` a bundle of that run" in told.err
    assert cli("import", bundle).code == 0
    assert cli("repair").err == "nothing to repair\n"


@pytest.mark.parametrize("run_id", ["only-run", "20260304-only"])
def test_repair_names_what_a_copy_has_that_is_put_back_by_hand(
    cli: Cli, writer: Writer, store_path: Path, tmp_path: Path, run_id: str
) -> None:
    writer.run(run_id)
    assert cli("ledger", "checkpoint").code == 0
    copy = shutil.copytree(store_path, tmp_path / "copy")
    [directory] = store_path.glob(f"runs/*/{run_id}")
    lies = directory.relative_to(store_path)
    shutil.rmtree(directory)
    [problem] = [each for each in cli("verify", "--json").json["problems"] if each["expected"]]
    if run_id.startswith("2026"):
        assert problem["path"] == f"{lies}/run.json"
    told = cli("repair", "--from", copy)
    assert (told.code, "has nothing" in told.err) == (1, False)
    assert f"{copy} has {lies}: " in told.err
    assert cli("repair", "--from", copy, "--json").json["elsewhere"] == [
        {"place": str(copy), "path": str(lies), "packed_run": None}
    ]
    shutil.copytree(copy / lies, directory)
    assert cli("verify").code == 0


def test_repair_names_the_whole_pack_that_a_copy_has(
    cli: Cli, writer: Writer, store_path: Path, tmp_path: Path
) -> None:
    writer.run("only-run")
    assert cli("store", "pack", "--all").code == 0
    copy = shutil.copytree(store_path, tmp_path / "copy")
    [pack] = store_path.glob("packs/*.pack")
    whole = pack.read_bytes()
    pack.chmod(0o600)
    pack.write_bytes(whole[:30] + bytes([whole[30] ^ 1]) + whole[31:])
    told = cli("repair", "--from", copy)
    assert (told.code, "has nothing" in told.err) == (1, False)
    assert f"{copy} has packs/{pack.name}: " in told.err
    pack.unlink()
    told = cli("repair", "--from", copy)
    assert f"{copy} has only-run in a pack: `instrument --store {copy} export" in told.err
    bundle = tmp_path / "only.bundle"
    assert cli("--store", copy, "export", "only-run", "-o", bundle).code == 0
    assert cli("import", bundle).code == 0
    assert cli("repair").code == 0


def test_repair_with_what_is_not_there_is_wrong_usage(cli: Cli, writer: Writer) -> None:
    writer.run("only-run")
    assert cli("repair", "--from", "/nowhere").code == 2


def test_who_watches_hears_of_every_byte(writer: Writer) -> None:
    writer.artifact("model", b"w" * 3_000_000)
    writer.run("only-run")
    told: list[int] = []
    result = writer.store.verify(None, told.append)
    assert sum(told) == result.size_bytes
    assert len(told) > 3
