import sys
from pathlib import Path

import pytest
from cli.support import Cli, Writer

import instrument
from instrument.errors import NotFoundError

SCRIPT = (
    "from instrument import ExperimentContext\n"
    "with ExperimentContext(name={name!r}, tags=['inner']) as run:\n"
    "    pass\n"
)


@pytest.mark.parametrize(
    ("given", "inside", "name"),
    [("outer", "inner", "outer"), (None, "inner", "inner"), (None, None, "true_train")],
)
def test_a_name_that_is_given_beats_one_that_is_not(
    cli: Cli, tmp_path: Path, given: str | None, inside: str | None, name: str
) -> None:

    script = tmp_path / "true_train.py"
    script.write_text(SCRIPT.format(name=inside))
    options = ["--name", given] if given else []
    assert cli("run", *options, "--", sys.executable, str(script)).code == 0
    [run] = cli("runs", "list", "--json").json
    assert run["name"] == name
    assert run["tags"] == ["inner"]
    assert run["state"] == "COMPLETED"


def test_a_name_of_one_run_stands_for_it_everywhere(
    cli: Cli, writer: Writer, tmp_path: Path
) -> None:
    writer.run("run-a", name="once")
    writer.run("run-b", name="twice")
    writer.run("run-c", name="twice")
    assert cli("runs", "show", "once", "--json").json["id"] == "run-a"
    assert cli("runs", "diff", "once", "run-b", "--json").json["a"] == "run-a"
    assert cli("verify", "once").code == 0
    assert cli("export", "once", "-o", tmp_path / "one.bundle").code == 0
    assert instrument.run("once").id == "run-a"
    several = cli("runs", "show", "twice")
    assert several.code == 2
    assert "'twice' is the name of several runs, use an id: run-c, run-b" in several.err
    with pytest.raises(NotFoundError, match="the name of several runs, use an id: run-c, run-b"):
        instrument.metric_history("twice")


def test_deletion_without_a_terminal_tells_the_way_out(cli: Cli, writer: Writer) -> None:
    writer.run("run-a", name="once")
    refused = cli("runs", "delete", "once", "--why", "t", stdin="y\n")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        "error: there is no terminal to ask at; --yes removes run-a without asking\n"
    )
    assert cli("runs", "delete", "once", "--why", "t", "--yes").code == 0
