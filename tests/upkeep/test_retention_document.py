"""What docs/retention.md shows is run as it stands there."""

import re
import shlex
import tomllib
from pathlib import Path

from cli.support import Cli
from upkeep.keeping import add_run, runs_with_checkpoints, store_at

from instrument.cli.retention import keep_rule, policy_from_table

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/retention.md"


def test_the_commands_run(store_path: Path, cli: Cli) -> None:
    store = store_at(store_path)
    runs_with_checkpoints(store)
    add_run(store, 9)
    commands = [
        shlex.split(line)[1:]
        for block in re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
        for line in block.splitlines()
    ]
    assert len(commands) >= 8
    for command in commands:
        done = cli(*command)
        assert done.code == 0, (command, done.err)
    assert len(store.runs()) == 4


def test_the_policies_and_rules_are_ones() -> None:
    text = DOCUMENT.read_text("utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    tables = tomllib.loads(example)["tool"]["instrument"]["retention"]
    assert [policy_from_table(table).types for table in tables] == [
        ("checkpoint",),
        ("evaluation",),
    ]
    rules = re.findall(r"^\| `([a-z=A-Z:.]+)`", text, re.MULTILINE)
    assert len(rules) == 6
    for rule in rules:
        keep_rule(rule.replace("=N", "=3"))
