"""docs/commands.md says what the commands do."""

import re
from pathlib import Path

import click
import msgspec
import pytest
from cli.support import Cli, Writer

from instrument.cli.checkup import Check
from instrument.cli.differences import Comparison
from instrument.cli.main import commands
from instrument.protocols import Damage
from instrument.query import FIELDS, parse
from instrument.summary import RunSummary
from instrument.vocabulary import ArtifactVersion

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text("utf-8")


def paragraph(beginning: str) -> list[str]:
    """The names in backquotes of the paragraph that begins so."""
    found = next(part for part in TEXT.split("\n\n") if part.startswith(beginning))
    return re.findall(r"`([a-z_]+)`", found)


def test_every_command_is_in_the_table() -> None:
    told = re.findall(r"^\| `([a-z]+)(?: ([a-z][a-z-]*))?", TEXT, re.MULTILINE)
    with click.Context(commands) as context:
        there, groups = set(), set()
        for name in commands.list_commands(context):
            command = commands.get_command(context, name)
            inner = command.commands if isinstance(command, click.Group) else {"": None}
            groups |= {name} if isinstance(command, click.Group) else set()
            there |= {f"{name} {sub}".strip() for sub in inner}
            if getattr(command, "invoke_without_command", False):
                there.add(name)
    assert {f"{name} {sub}".strip() if name in groups else name for name, sub in told} == there


def test_the_fields_and_the_examples_of_where() -> None:
    [fields] = re.findall(r"- Fields: (.*?)\n- ", TEXT, re.DOTALL)
    assert set(re.findall(r"`([a-z_]+)`", fields)) == {*FIELDS, "commit", "branch", "dirty"}
    [examples] = re.findall(r"```\n(.*?)```", TEXT, re.DOTALL)
    assert [parse(line) for line in examples.splitlines()]


@pytest.mark.parametrize(
    ("beginning", "kind", "others"),
    [
        ("A run (", RunSummary, set()),
        ("An artifact version (", ArtifactVersion, {"ref", "collected"}),
        ("`verify`: ", Damage, {"verify", "ok", "checked", "runs", "objects", "bytes", "problems",
                                "note"}),
        ("`runs diff`", Comparison, set()),
        ("`doctor`: ", Check, {"doctor", "ok", "checks"}),
    ],
)  # fmt: skip
def test_the_names_in_json(beginning: str, kind: type, others: set[str]) -> None:
    names = {field.encode_name for field in msgspec.structs.fields(kind)}
    assert set(paragraph(beginning)) == names | others


def test_types_case_and_null(cli: Cli, writer: Writer) -> None:
    writer.run("run-a", params={"lr": 0.1, "flag": True})
    writer.run("run-b", params={"other": "0.1"})

    def found(where: str) -> list[str]:
        return [run["id"] for run in cli("runs", "list", "--json", "--where", where).json]

    assert found("params.lr == '0.1'") == []
    assert found("params.other == 0.1") == []
    assert found("params.flag == 1") == []
    assert found("params.lr == 0.10") == ["run-a"]
    assert found("state == 'completed'") == []
    assert found("params.lr != null") == ["run-a"]
    assert found("params.lr == null") == ["run-b"]
    assert found("not params.lr > 0.1") == ["run-b", "run-a"]
    assert found("tags contains 'A'") == []
    assert found("started_at >= '2026-11-21' and tags contains 'a'") == ["run-b", "run-a"]


def test_a_strict_run_that_cannot_be_recorded_is_not_started(cli: Cli, tmp_path: Path) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    result = cli(
        "--store", blocked / "store", "run", "--", "echo", "ran", env={"INSTRUMENT_STRICT": "1"}
    )
    assert (result.code, result.out) == (3, "")
