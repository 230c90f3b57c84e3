import pytest
from cli.support import Cli, Writer


@pytest.fixture
def chain(writer: Writer) -> None:
    """raw → (filter) → data → (train) → model."""
    raw = writer.artifact("raw", b"0", type="dataset")
    data = writer.artifact("data", b"1", type="dataset", parents=(raw.ref,), run_id="run-filter")
    writer.run("run-filter", name="filter", uses=(raw,), makes=(data,))
    model = writer.artifact("model", b"2", type="model", parents=(data.ref,), run_id="run-train")
    writer.run("run-train", name="train", uses=(data,), makes=(model,))


@pytest.mark.usefixtures("chain")
def test_the_whole_lineage_as_a_tree(cli: Cli) -> None:
    tree = cli("lineage", "data").out
    for part in ("data:v1", "raw:v1", "run-filter", "run-train", "model:v1"):
        assert part in tree
    up = cli("lineage", "model:v1", "--up").out
    assert "raw:v1" in up
    down = cli("lineage", "data:v1", "--down").out
    assert "model:v1" in down
    assert "raw:v1" not in down


@pytest.mark.usefixtures("chain")
@pytest.mark.parametrize("subject", ["run-train", "latest", "run-t"])
def test_a_run_has_lineage_too(cli: Cli, subject: str) -> None:
    shown = cli("lineage", subject, "--up", "--format", "json").json
    assert shown["root"] == "run-train"
    assert {node["id"] for node in shown["nodes"]} >= {"run-train", "data:v1", "raw:v1"}


@pytest.mark.usefixtures("chain")
def test_the_other_formats(cli: Cli) -> None:
    assert (
        cli("lineage", "model", "--json").json == cli("lineage", "model", "--format", "json").json
    )
    dot = cli("lineage", "model", "--format", "dot").out
    assert dot.startswith("digraph")
    assert '"data:v1"' in dot
    assert cli("lineage", "model", "--format", "mermaid").out.startswith("flowchart")


@pytest.mark.usefixtures("chain")
def test_validate(cli: Cli) -> None:
    result = cli("lineage", "validate", "--json")
    assert result.code == 0
    assert result.json.keys() == {"is_valid", "issues", "stats"}
    assert result.json["stats"]["total_artifacts"] == 3
    assert cli("lineage", "validate").out.startswith("sound: 3 artifacts, 2 edges")


def test_validate_says_no(cli: Cli, writer: Writer) -> None:
    writer.artifact("data", b"1", run_id="run-that-is-gone")
    result = cli("lineage", "validate", "--json")
    assert result.code == 1
    assert [issue["type"] for issue in result.json["issues"]] == ["missing_references"]
    told = cli("lineage", "validate")
    assert told.code == 1
    assert "run-that-is-gone is not there; data:v1 refers to it\n" in told.out
    assert "`instrument repair --from PATH` brings back" in told.out
