import sys
from pathlib import Path

import pytest
from cli.support import Cli

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
