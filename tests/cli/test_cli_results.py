"""What people come back for: the best run, how a metric went, the patch, why a search is empty."""

import json
from pathlib import Path

import pytest
from cli.support import Cli, Writer

import instrument
from instrument import ExperimentContext
from instrument.cli import runs as listing
from instrument.errors import QueryError
from instrument.query import parse


@pytest.fixture
def three(writer: Writer) -> Writer:
    writer.run("aaaa-run", params={"lr": 0.1}, metrics={"acc": 0.7, "val acc": 0.5})
    writer.run("bbbb-run", params={"lr": 0.3}, metrics={"acc": 0.9, "val acc": 0.6})
    writer.run("cccc-run", params={"lr": 0.2}, metrics={"acc": "NaN"})
    writer.run("dddd-run", params={"lr": 0.2}, metrics={"loss": 1.0})
    return writer


def ids(cli: Cli, *arguments: str) -> list[str]:
    return [run["id"][:4] for run in cli("runs", "list", "--json", *arguments).json]


@pytest.mark.usefixtures("three")
def test_runs_stand_in_the_order_that_is_asked_for(cli: Cli) -> None:
    assert ids(cli, "--sort", "metrics.acc") == ["aaaa", "bbbb", "dddd", "cccc"]
    assert ids(cli, "--sort", "metrics.acc:desc", "--limit", "1") == ["bbbb"]
    assert ids(cli, "--sort", "-metrics.acc") == ["bbbb", "aaaa", "dddd", "cccc"]
    assert ids(cli, "--sort", "params.lr:desc")[0] == "bbbb"
    assert ids(cli, "--sort", 'metrics."val acc":desc')[:2] == ["bbbb", "aaaa"]
    listed = cli("runs", "list", "--sort", "metrics.acc:desc", "--limit", "1").out.splitlines()
    assert listed[1].startswith("bbbb")
    refused = cli("runs", "list", "--sort", "acc")
    assert refused.code == 2
    assert "did you mean metrics.acc or params.acc?" in refused.err
    assert [run.id for run in instrument.runs(sort="metrics.acc:desc", limit=1)] == ["bbbb-run"]


@pytest.mark.usefixtures("three")
def test_an_order_by_what_no_run_has_is_told(cli: Cli) -> None:
    found = cli("runs", "list", "--json", "--sort", "metrics.los")
    assert (found.code, len(found.json)) == (0, 4)
    assert found.err == "hint: no run has metrics.los; did you mean metrics.loss?\n"
    assert cli("runs", "list", "--sort", "metrics.loss").err == ""


@pytest.mark.usefixtures("three")
def test_columns_are_those_that_are_asked_for(cli: Cli) -> None:
    lines = cli("runs", "list", "--columns", "params.lr,metrics.acc").out.splitlines()
    assert lines[0].split() == ["run", "name", "params.lr", "metrics.acc"]
    assert lines[1].split() == ["dddd-run", "baseline", "0.2", "-"]
    assert "lr 0.2" in cli("runs", "list").out


@pytest.mark.usefixtures("three")
def test_columns_in_json_are_those_alone(cli: Cli) -> None:
    columns = "id,params.lr,metrics.acc,seeds.seed,command"
    where = "seeds.seed == 42 and params.lr == 0.2"
    newest = cli("runs", "list", "--json", "--columns", columns, "--where", where).json[0]
    assert newest == {
        "id": "dddd-run",
        "params.lr": 0.2,
        "metrics.acc": None,
        "seeds.seed": 42,
        "command": ["python", "train.py"],
    }


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("where", "hint"),
    [
        ("state == 'completed'", "state is one of RUNNING, COMPLETED"),
        ("tags == 'a'", "tags is a list; write tags contains 'a'"),
        ("name contains 'base'", "name is no list; name ~ 'base'"),
        ("params.lr == '0.1'", "params.lr is a number here and is compared with a text"),
        ("name == 5", "name is a text here and is compared with a number"),
        ("metrics.acx > 0", "no run has metrics.acx; did you mean metrics.acc?"),
        ("metrics.lr > 0 and name == 'x'", "no run has metrics.lr; did you mean params.lr?"),
        ("metrics.ACC > 0", "no run has metrics.ACC; did you mean metrics.acc?"),
        ("metrics.n > 0", "no run has metrics.n; metrics here: "),
        ("git.comit == 'a'", "no run has git.comit; did you mean git.commit?"),
    ],
)
def test_an_empty_search_says_why_it_can_find_nothing(cli: Cli, where: str, hint: str) -> None:
    found = cli("runs", "list", "--where", where)
    assert (found.code, found.out) == (0, "")
    assert f"hint: {hint}" in found.err
    in_json = cli("runs", "list", "--json", "--where", where)
    assert in_json.json == []
    assert f"hint: {hint}" in in_json.err


def test_what_only_an_old_run_has_is_not_told_as_missing(
    three: Writer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(listing, "_MOST_FOR_HINTS", 1)
    listing._say_hints(three.store, parse("metrics.acc > 1 or metrics.nosuch > 1"))
    [hint] = capsys.readouterr().err.splitlines()
    assert hint.startswith("hint: no run has metrics.nosuch; metrics here: ")


def test_a_copy_makes_the_directories_that_it_needs(cli: Cli, writer: Writer) -> None:
    writer.artifact("model", b"weights")
    assert cli("artifacts", "get", "model", "-o", "new/deep/").code == 0
    assert Path("new/deep/model.bin").read_bytes() == b"weights"
    assert "lacks are made" in cli("artifacts", "get", "--help").out


@pytest.mark.usefixtures("three")
def test_a_search_that_could_find_something_gets_no_hint(cli: Cli) -> None:
    for where in ("params.lr > 5", "params.other == null and name == 'none'", "state == 'FAILED'"):
        assert "hint" not in cli("runs", "list", "--where", where).err


@pytest.mark.usefixtures("three")
def test_names_with_spaces_stand_in_quotes(cli: Cli) -> None:
    assert ids(cli, "--where", 'metrics."val acc" > 0.55') == ["bbbb"]
    assert ids(cli, "--where", "metrics.`val acc` < 0.55 and params.lr > 0") == ["aaaa"]


def test_a_metric_is_found_as_people_see_it(cli: Cli) -> None:
    import numpy as np

    with ExperimentContext(monitor_hardware=False) as run:
        run.log_metrics({"val_acc": np.float32(0.9)})
    assert ids(cli, "--where", "metrics.val_acc == 0.9") == [run.id[:4]]


def test_how_a_metric_went(cli: Cli) -> None:
    with ExperimentContext(monitor_hardware=False) as run:
        for step in range(4):
            run.log_metrics({"loss": 1.0 / (step + 1), "acc": float("nan")}, step=step)
        run.log_metrics({"x" * 200: 1.0})
    table = cli("runs", "metrics", "latest").out
    row = next(line.split() for line in table.splitlines() if line.startswith("loss"))
    assert row == ["loss", "4", "0.25", "█▃▂▁", "1", "0.25"]
    assert max(map(len, table.splitlines())) < 160
    assert max(map(len, cli("runs", "list").out.splitlines())) < 250
    points = cli("runs", "metrics", run.id, "loss", "--json").json
    assert [point["value"] for point in points["loss"]] == [1.0, 0.5, pytest.approx(1 / 3), 0.25]
    row = next(line.split() for line in table.splitlines() if line.startswith("acc"))
    assert row[:5] == ["acc", "4,", "4", "not", "finite"]
    points = cli("runs", "metrics", run.id, "acc", "--json").json
    assert [point["value"] for point in points["acc"]] == ["NaN"] * 4
    lines = cli("runs", "metrics", run.id, "loss", "--csv").out.splitlines()
    assert lines[0] == "name,step,value,at"
    assert lines[1].startswith("loss,0,1.0,20")
    missing = cli("runs", "metrics", run.id, "los")
    assert missing.code == 2
    assert "did you mean 'loss'?" in missing.err
    history = instrument.metric_history()
    assert [(point.step, point.value) for point in history["loss"]][:2] == [(0, 1.0), (1, 0.5)]
    assert history["acc"][0].value != history["acc"][0].value
    assert instrument.run(run.id[:18]).metrics["loss"] == 0.25
    with pytest.raises(QueryError):
        instrument.runs("nonsense")


def test_the_patch_and_the_packages_of_a_run_can_be_had(cli: Cli, git_tree: Path) -> None:
    (git_tree / "a.py").write_text("changed = 1\n")
    with ExperimentContext(monitor_hardware=False) as run:
        pass
    patch = cli("runs", "patch", run.id)
    assert "+changed = 1" in patch.out
    assert cli("runs", "show", run.id, "--json").json["patch"].startswith("sha256:")
    packages = cli("runs", "packages", run.id).out.splitlines()
    assert any(line.startswith("msgspec==") for line in packages)
    assert "msgspec" in cli("runs", "packages", run.id, "--json").json


@pytest.fixture
def git_tree() -> Path:
    import subprocess

    here = Path.cwd()
    (here / "a.py").write_text("changed = 0\n")
    for command in (
        ["init", "-q"],
        ["add", "a.py"],
        ["-c", "user.name=u", "-c", "user.email=u@h", "commit", "-qm", "one"],
    ):
        subprocess.run(["git", *command], check=True)
    return here


def test_before_the_first_commit_the_page_says_so_in_full(cli: Cli) -> None:
    import subprocess

    subprocess.run(["git", "init", "-q"], check=True)
    with ExperimentContext(monitor_hardware=False):
        pass
    assert "no commit yet," in cli("runs", "show", "latest").out


@pytest.mark.parametrize(
    "command",
    [
        ("runs", "list"), ("runs", "show", "latest"), ("runs", "metrics", "latest"),
        ("artifacts", "list"), ("artifacts", "show", "a"), ("lineage", "validate"),
        ("lineage", "a"), ("verify",), ("runs", "diff", "a", "b"),
    ],
)  # fmt: skip
def test_without_a_store_every_command_that_reads_says_so(
    cli: Cli, command: tuple[str, ...], store_path: Path
) -> None:
    result = cli(*command)
    assert (result.code, result.out) == (3, "")
    assert f"there is no store at {store_path}; " in result.err
    assert not store_path.exists()
    json.dumps(result.err)


@pytest.mark.usefixtures("three")
def test_a_run_that_is_called_by_its_name_is_told_its_ids(cli: Cli) -> None:
    told = cli("runs", "show", "baseline")
    assert told.code == 2
    assert "'baseline' is the name of several runs, use an id: dddd-run, cccc-run" in told.err
