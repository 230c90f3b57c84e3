import hashlib
from pathlib import Path

import pytest
from cli.support import BEGAN, Cli, Writer

from instrument import ExperimentContext
from instrument.naming import Reference

ARTIFACT_FIELDS = {
    "ref", "name", "version", "type", "digest", "size_bytes", "files", "run_id", "created_at",
    "aliases", "parents", "metadata", "collected",
}  # fmt: skip


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_log_list_show_get_of_a_file(cli: Cli) -> None:
    Path("data.csv").write_bytes(b"a,b\n1,2\n")
    logged = cli("artifacts", "log", "data", "data.csv", "--type", "dataset")
    assert (logged.code, logged.out) == (0, "data:v1\n")
    assert cli("artifacts", "log", "data", "data.csv").out == "data:v1\n"
    shown = cli("artifacts", "show", "data", "--json").json
    assert shown.keys() >= ARTIFACT_FIELDS
    assert (shown["ref"], shown["name"], shown["version"]) == ("data:v1", "data", 1)
    assert shown["digest"] == sha256(b"a,b\n1,2\n")
    assert shown["aliases"] == ["latest"]
    assert shown.pop("made_from") == []
    assert cli("artifacts", "list", "--json").json == [shown]
    page = cli("artifacts", "show", "data:v1").out
    for part in ("data:v1", "dataset", "8 B", shown["digest"], "data.csv"):
        assert part in page
    got = cli("artifacts", "get", "data:latest", "-o", "copy.csv")
    assert (got.code, got.out) == (0, "copy.csv\n")
    assert Path("copy.csv").read_bytes() == b"a,b\n1,2\n"


def test_log_with_parents_and_versions(cli: Cli) -> None:
    Path("a").write_text("1")
    Path("b").write_text("2")
    cli("artifacts", "log", "raw", "a")
    made = cli("artifacts", "log", "clean", "b", "--parent", "raw:v1", "--json").json
    assert made["parents"] == ["raw:v1"]
    assert cli("artifacts", "log", "raw", "b").out == "raw:v2\n"
    assert [each["ref"] for each in cli("artifacts", "list", "raw", "--json").json] == [
        "raw:v1",
        "raw:v2",
    ]
    assert "raw:v2" in cli("artifacts", "list").out
    assert cli("artifacts", "log", "clean", "b", "--parent", "nosuch:v1").code == 2


def test_get_a_directory(cli: Cli) -> None:
    Path("tree/deep").mkdir(parents=True)
    Path("tree/top.txt").write_text("top")
    Path("tree/deep/leaf.txt").write_text("leaf")
    cli("artifacts", "log", "tree", "tree")
    assert cli("artifacts", "get", "tree", "-o", "copy").code == 0
    copied = {
        str(path.relative_to("copy")): path.read_text() for path in Path("copy").rglob("*.txt")
    }
    assert copied == {"top.txt": "top", "deep/leaf.txt": "leaf"}


def test_get_without_a_path_takes_the_name_and_never_overwrites(
    cli: Cli, writer: Writer, tmp_path: Path
) -> None:
    writer.artifact("model", b"weights")
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    assert cli("artifacts", "get", "model", cwd=empty).out == "model.bin\n"
    writer.artifact("model", b"other weights")
    again = cli("artifacts", "get", "model", cwd=empty)
    assert again.code == 2
    assert "exists" in again.err
    assert (empty / "model.bin").read_bytes() == b"weights"
    assert cli("artifacts", "get", "model", "-o", empty / "sub" / "there").code == 0
    assert (empty / "sub" / "there").read_bytes() == b"other weights"


def test_get_of_damaged_content_leaves_nothing(cli: Cli, writer: Writer, store_path: Path) -> None:
    version = writer.artifact("model", b"weights")
    writer.damage(version)
    result = cli("artifacts", "get", "model", "-o", "copy")
    assert result.code == 1
    assert len(result.err.splitlines()) == 1
    assert not Path("copy").exists()
    assert not list(Path.cwd().glob(".instrument-*"))


def test_empty_store(cli: Cli) -> None:
    result = cli("artifacts", "list")
    assert (result.code, result.out) == (3, "")
    assert "there is no store" in result.err


def test_logged_inside_a_run_it_belongs_to_the_run(cli: Cli) -> None:
    Path("model.bin").write_bytes(b"weights")
    import sys

    command = [sys.executable, "-m", "instrument", "artifacts", "log", "model", "model.bin"]
    assert cli("run", "--", *command).code == 0
    run = cli("runs", "show", "latest", "--json").json
    assert run["outputs"] == ["model:v1"]
    assert cli("artifacts", "show", "model", "--json").json["run_id"] == run["id"]


def test_an_alias_points_where_it_is_told_and_latest_goes_back(cli: Cli, writer: Writer) -> None:
    writer.artifact("model", b"one")
    writer.artifact("model", b"two")
    assert cli("artifacts", "tag", "model:v1", "prod").out == "model:v1\n"
    assert cli("artifacts", "show", "model:prod", "--json").json["version"] == 1
    assert cli("artifacts", "rollback", "model", "1").out == "model:v1\n"
    assert cli("artifacts", "show", "model", "--json").json["version"] == 1
    assert cli("artifacts", "rollback", "model", "v2").code == 0
    assert cli("artifacts", "show", "model:latest", "--json").json["version"] == 2
    for alias in ("v7", "V7", "2"):
        assert cli("artifacts", "tag", "model:v1", alias).code == 2
    assert cli("artifacts", "tag", "model:v9", "prod").code == 2
    assert cli("verify").code == 0


def test_a_file_goes_to_stdout_and_a_directory_does_not(
    cli: Cli, writer: Writer, tmp_path: Path
) -> None:
    writer.artifact("note", b"all of it")
    assert cli("artifacts", "get", "note", "-o", "-").out == "all of it"
    assert not Path("-").exists()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_text("a")
    cli("artifacts", "log", "tree", tmp_path / "tree")
    refused = cli("artifacts", "get", "tree", "-o", "-")
    assert (refused.code, refused.out) == (2, "")


def test_get_puts_a_file_into_a_directory_that_is_named_as_one(
    cli: Cli, writer: Writer, tmp_path: Path
) -> None:
    writer.artifact("clf", b"weights")
    for output in (f"{tmp_path}/new.d/", f"{tmp_path}/there"):
        (tmp_path / "there").mkdir(exist_ok=True)
        done = cli("artifacts", "get", "clf", "-o", output)
        assert done.code == 0, done.err
        assert Path(output, "clf.bin").read_bytes() == b"weights"


def test_why_an_alias_was_moved_is_in_the_ledger(cli: Cli, writer: Writer) -> None:
    for content in (b"1", b"2"):
        writer.artifact("model", content)
    assert cli("artifacts", "tag", "model:v2", "prod", "--why", "password=change-me123").code == 0
    assert cli("artifacts", "rollback", "model", "v1", "--why", "v2 drifts").code == 0
    assert cli("artifacts", "tag", "model:v1", "old").code == 0
    moves = [each for each in cli("ledger", "log", "--json").json if each["event"] == "alias_moved"]
    assert [move["why"] for move in moves][1:] == ["v2 drifts", None]
    assert "change-me123" not in moves[0]["why"]


def test_why_a_version_was_made_without_a_run_is_in_the_ledger(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("1,2\n")
    why = "from the lab, token=hunter2hunter2"
    assert cli("artifacts", "log", "rows", tmp_path / "rows.csv", "--why", why).code == 0
    check = cli("artifacts", "show", "rows", "--json").json["check"]
    (event,) = cli("ledger", "log", "--json").json
    assert (event["event"], event["versions"]) == ("versions_made", {"rows:v1": check})
    assert event["why"].startswith("from the lab, ")
    assert "hunter2" not in event["why"]
    page = cli("ledger", "log").out
    assert "rows:v1 made" in page
    assert "from the lab" in page


def test_why_runs_were_packed_is_in_the_ledger(cli: Cli) -> None:
    with ExperimentContext(name="packed", monitor_hardware=False):
        pass
    assert cli("store", "pack", "--all", "--why", "fewer files").code == 0
    packed = [each for each in cli("ledger", "log", "--json").json if each["event"] == "packed"]
    assert [event["why"] for event in packed] == ["fewer files"]


def versions_of(writer: Writer, name: str, count: int) -> Path:
    for number in range(count):
        writer.artifact(name, f"{name} {number}".encode())
    return Path(writer.store.location, "artifacts", name)


@pytest.mark.parametrize("harm", ["gone", "link", "directory", "changed"])
@pytest.mark.parametrize("number", [2, 4])
def test_list_warns_of_versions_that_it_cannot_show(
    cli: Cli, writer: Writer, harm: str, number: int
) -> None:
    versions_of(writer, "alike", 2)
    lies = versions_of(writer, "model", 4) / f"v{number}.json"
    writer.store.tag(Reference("model", 1, None), "latest", BEGAN)
    assert cli("artifacts", "list").err == ""
    lies.rename("v.json")
    if harm == "link":
        lies.symlink_to(Path("v.json").absolute())
    elif harm == "directory":
        lies.mkdir()
    elif harm == "changed":
        lies.write_bytes(Path("v.json").read_bytes().replace(b"other", b"mine!"))
    told = f"warning: model:v{number} is missing or damaged; `instrument verify` tells more\n"
    if (harm, number) == ("gone", 4):
        told = ""  # nothing in the list shows that there was one: `verify` knows
    for words in ((), ("model",), ("--json",)):
        done = cli("artifacts", "list", *words)
        assert (done.code, done.err) == (0, told)
        assert "model:v1" in done.out
        assert f"model:v{number}" not in done.out
        assert "model:v3" in done.out


def test_list_tells_many_lost_versions_in_one_line(cli: Cli, writer: Writer) -> None:
    data, model = versions_of(writer, "data", 3), versions_of(writer, "model", 9)
    (data / "v1.json").unlink()
    (data / "v3.json").write_bytes(b"")
    for number in range(2, 9):
        (model / f"v{number}.json").unlink()
    done = cli("artifacts", "list")
    assert (done.code, done.err.count("\n")) == (0, 1)
    assert "data:v1, data:v3, model:v2, model:v3, model:v4 and more are missing" in done.err
    assert "warning: model:v2, model:v3, " in cli("artifacts", "list", "model").err
