from pathlib import Path

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


def test_a_store_that_has_lost_its_format_is_still_verified(
    cli: Cli, writer: Writer, store_path: Path
) -> None:
    writer.run("only-run")
    (store_path / "FORMAT").unlink()
    assert "there is no store" not in cli("verify").err
