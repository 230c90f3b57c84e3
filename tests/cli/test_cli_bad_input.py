"""Each mistake: one line that says the way out, no traceback, exit code 2 or 3."""

import os
import subprocess
from pathlib import Path

import pytest
from cli.support import Cli, Result, Writer


def only_line(result: Result, code: int) -> str:
    assert result.code == code, result
    assert result.out == ""
    [line] = result.err.splitlines()
    assert line.startswith("error: "), line
    return line


@pytest.mark.parametrize(
    "command", [["runs", "show"], ["runs", "diff", "latest"], ["sync", "--to", "wandb"]]
)
def test_unknown_run(cli: Cli, writer: Writer, command: list[str]) -> None:
    writer.run("only-run")
    line = only_line(cli(*command, "nosuch"), 2)
    assert "nosuch" in line
    assert "instrument runs list" in line


def test_an_option_that_a_command_lacks_is_answered_by_how_it_is_used(cli: Cli) -> None:
    line = only_line(cli("artifacts", "log", "weights.bin", "--name", "weights"), 2)
    assert line.endswith("; usage: instrument artifacts log [OPTIONS] NAME PATH")


@pytest.mark.parametrize(("group", "has"), [("runs", "calls, cells"), ("", "run, runs, artifacts")])
def test_a_command_that_is_none_is_answered_by_those_there_are(
    cli: Cli, group: str, has: str
) -> None:
    assert f"--help` tells how; it has {has}, " in only_line(cli(*group.split(), "rename"), 2)


def test_latest_in_an_empty_store(cli: Cli) -> None:
    assert "there is no store" in only_line(cli("runs", "show", "latest"), 3)


def test_ambiguous_prefix(cli: Cli, writer: Writer) -> None:
    writer.run("run-one")
    writer.run("run-two")
    line = only_line(cli("runs", "show", "run-"), 2)
    assert "run-one" in line
    assert "run-two" in line


@pytest.mark.parametrize(
    "reference", ["nosuch", "model:v9", "model:best", "no such!", "model:v1:v2"]
)
def test_unknown_artifact(cli: Cli, writer: Writer, reference: str) -> None:
    writer.artifact("model", b"1")
    for command in (["artifacts", "show"], ["artifacts", "get"], ["lineage"], ["verify"]):
        only_line(cli(*command, reference), 2)


def test_newer_store_format(cli: Cli, writer: Writer, store_path: Path) -> None:
    writer.run("only-run")
    format_file = store_path / "FORMAT"
    format_file.chmod(0o644)
    format_file.write_text(format_file.read_text().replace("1", "99"))
    for command in (
        ["runs", "list"],
        ["runs", "show", "latest"],
        ["verify"],
        ["artifacts", "list"],
    ):
        line = only_line(cli(*command), 3)
        assert "99" in line
    doctor = cli("doctor", "--json")
    assert doctor.code == 1
    assert doctor.json["ok"] is False


def test_unknown_backend_names_the_known_ones(cli: Cli, writer: Writer) -> None:
    writer.run("only-run")
    for command in (
        ["sync", "--to", "nosuch", "latest"],
        ["run", "--backend", "nosuch", "--", "true"],
    ):
        line = only_line(cli(*command), 2)
        assert "nosuch" in line
        assert "wandb" in line


def test_missing_library_of_a_backend_has_an_install_hint(
    cli: Cli, writer: Writer, tmp_path: Path
) -> None:
    writer.run("only-run")
    blocker = tmp_path / "blocked"
    blocker.mkdir()
    (blocker / "sitecustomize.py").write_text("import sys\nsys.modules['wandb'] = None\n")
    path = os.pathsep.join([str(blocker), os.environ["PYTHONPATH"]])
    line = only_line(cli("sync", "--to", "wandb", "latest", env={"PYTHONPATH": path}), 3)
    assert "instrument-ml[wandb]" in line


def test_artifact_path_that_does_not_exist(cli: Cli) -> None:
    assert "nosuch.bin" in only_line(cli("artifacts", "log", "model", "nosuch.bin"), 2)


def test_artifact_name_that_cannot_be_one(cli: Cli) -> None:
    Path("file").write_text("x")
    only_line(cli("artifacts", "log", "../evil", "file"), 2)


def test_unwritable_store(cli: Cli, tmp_path: Path) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    Path("file").write_text("x")
    line = only_line(cli("--store", blocked / "store", "artifacts", "log", "model", "file"), 3)
    assert "a-file" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["nosuch"], ["runs", "nosuch"], ["runs", "show"], ["runs", "list", "--limit", "0"],
        ["run", "--level", "4", "--", "true"], ["run"], ["lineage", "model", "--format", "nosuch"],
        ["sync", "latest"], ["env", "--level", "9"], ["run", "--seed", "-1", "--", "true"],
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line_that_names_the_help(cli: Cli, arguments: list[str]) -> None:
    assert "--help` tells how" in only_line(cli(*arguments), 2)


@pytest.mark.parametrize(
    "variable", [{"INSTRUMENT_MODE": "nosuch"}, {"INSTRUMENT_CAPTURE_LEVEL": "x"}]
)
def test_bad_setting(cli: Cli, variable: dict[str, str]) -> None:
    only_line(cli("runs", "list", env=variable), 2)


def test_no_arguments_shows_the_help(cli: Cli) -> None:
    result = cli()
    assert result.code == 2
    assert "Usage: instrument" in result.err
    assert cli("--help").code == 0
    assert cli("--version").out.startswith("instrument")


def test_outside_a_repository(cli: Cli, tmp_path: Path) -> None:
    result = cli("run", "--", "true", env={"GIT_CEILING_DIRECTORIES": str(tmp_path)})
    assert result.code == 0
    assert "code " in (page := cli("runs", "show", "latest").out)
    assert "unknown: " in page
    git = next(each for each in cli("doctor", "--json").json["checks"] if each["name"] == "git")
    assert git["status"] == "note"


def test_without_the_git_command(cli: Cli, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    subprocess.run(["git", "init", "-q", "."], check=True)
    (programs / "true").symlink_to("/bin/true")
    env = {"PATH": str(programs)}
    assert cli("run", "--", "true", env=env).code == 0
    assert cli("runs", "show", "latest", env=env).code == 0
    doctor = cli("doctor", "--json", env=env)
    git = next(each for each in doctor.json["checks"] if each["name"] == "git")
    assert (git["status"], "git" in git["hint"]) == ("warning", True)


def test_an_unexpected_error_is_one_line_unless_debug(cli: Cli, tmp_path: Path) -> None:
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import instrument.settings\n"
        "def broken(**_): raise ZeroDivisionError('a defect')\n"
        "instrument.settings.resolve = broken\n"
    )
    env = {"PYTHONPATH": os.pathsep.join([str(hook), os.environ["PYTHONPATH"]])}
    line = only_line(cli("runs", "list", env=env), 3)
    assert "ZeroDivisionError: a defect" in line
    assert "--debug" in line
    assert "Traceback" in cli("--debug", "runs", "list", env=env).err


def test_a_hold_that_is_over_is_refused(cli: Cli, writer: Writer) -> None:
    writer.run("first-run")
    refused = cli("hold", "set", "first-run", "--until", "2020-01-01")
    assert (refused.code, cli("hold", "list", "--json").json) == (2, [])
    assert "is not ahead" in refused.err
