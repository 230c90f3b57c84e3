"""Nothing that a record says may drive the terminal."""

import pytest
from cli.support import Cli, Writer

from instrument.cli.words import json_text, visible

HOSTILE = "a\x1b[31mred\x1b]0;title\x07\r\nforged line\x9b2J\u202eevil"


def is_harmless(text: str) -> bool:
    return not any(
        (ord(character) < 32 and character != "\n")
        or 0x7F <= ord(character) <= 0x9F
        or character == "\u202e"
        for character in text
    )


@pytest.mark.parametrize(
    "command",
    [["runs", "list"], ["runs", "show", "latest"], ["runs", "diff", "one-run", "two-run"]],
)
def test_hostile_names_are_shown_escaped(cli: Cli, writer: Writer, command: list[str]) -> None:
    writer.run("one-run", params={"p": 1})
    writer.run("two-run", name=HOSTILE, params={HOSTILE: HOSTILE}, metrics={HOSTILE: 1.0})
    result = cli(*command)
    assert result.code == 0
    assert is_harmless(result.out)
    assert r"\x1b[31mred" in result.out
    assert "\nforged line" not in result.out
    assert is_harmless(cli(*command, "--json").out)


def test_json_keeps_hostile_text_whole(cli: Cli, writer: Writer) -> None:
    writer.run("one-run", name=HOSTILE)
    assert cli("runs", "show", "latest", "--json").json["name"] == HOSTILE


def test_hostile_arguments_are_escaped_in_errors(cli: Cli, writer: Writer) -> None:
    writer.run("one-run")
    result = cli("runs", "show", HOSTILE)
    assert result.code == 2
    assert is_harmless(result.err)
    assert len(result.err.splitlines()) == 1


def test_markup_is_text(cli: Cli, writer: Writer) -> None:
    writer.run("one-run", name="[bold]x[/bold] :smile:")
    assert "[bold]x[/bold] :smile:" in cli("runs", "list").out


def test_visible_cuts_long_text() -> None:
    assert visible("x" * 10, limit=5) == "xxxx…"
    assert visible("naïve 漢字 🙂") == "naïve 漢字 🙂"


def test_json_text_escapes_what_json_leaves() -> None:
    assert json_text({"a": "\x9b"}) == '{\n  "a": "\\u009b"\n}'
