import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from cli.support import BEGAN, Cli, Writer

from instrument.records import CodeCaptured, ProcessStarted
from instrument.vocabulary import GitState, RunState

RUN_FIELDS = {
    "id", "name", "project", "state", "started_at", "ended_at", "duration_seconds", "attempts",
    "params", "metrics", "tags", "function", "git", "host", "rank_count", "inputs", "outputs",
    "models", "seeds", "exception", "telemetry", "recording", "environment",
}  # fmt: skip


def test_list_shows_newest_first_and_says_when_there_is_nothing(cli: Cli, writer: Writer) -> None:
    empty = cli("runs", "list")
    assert (empty.code, empty.out) == (3, "")
    assert "`instrument run -- COMMAND` records a first run" in empty.err
    writer.run("first-run", name="one")
    writer.run("second-run", name="two", metrics={"accuracy": 0.97, "loss": "NaN"})
    lines = cli("runs", "list").out.splitlines()
    assert lines[0].split() == [
        "run",
        "name",
        "project",
        "state",
        "started",
        "age",
        "took",
        "params",
        "metrics",
    ]
    assert lines[1].startswith("second-run")
    assert lines[2].startswith("first-run")
    assert "COMPLETED" in lines[1]
    assert "12.5 s" in lines[1]
    assert "accuracy 0.97  loss NaN" in lines[1]


def test_list_in_json_is_one_array_with_the_fixed_names(cli: Cli, writer: Writer) -> None:
    writer.run("first-run")
    [run] = cli("runs", "list", "--json").json
    assert run.keys() >= RUN_FIELDS
    known = {name: value for name, value in run["git"].items() if value is not None}
    assert known == {"commit": "a" * 40, "branch": "main", "dirty": False, "source": "git"}
    assert run["recording"].keys() >= {"complete", "problems", "overhead"}
    assert datetime.fromisoformat(run["started_at"]).tzinfo is not None


def test_list_filters_and_limits(cli: Cli, writer: Writer) -> None:
    for index, accuracy in enumerate((0.5, 0.8, 0.95)):
        writer.run(
            f"run-number-{index}", params={"lr": 0.1 * index}, metrics={"accuracy": accuracy}
        )
    where = "params.lr<=0.1 and metrics.accuracy>0.6 and state=='COMPLETED'"
    assert [run["id"] for run in cli("runs", "list", "--where", where, "--json").json] == [
        "run-number-1"
    ]
    limited = cli("runs", "list", "--limit", 2, "--json").json
    assert [run["id"] for run in limited] == ["run-number-2", "run-number-1"]
    none = cli("runs", "list", "--where", "name=='nobody'")
    assert (none.code, none.out) == (0, "")
    assert "no run meets that" in none.err


def test_list_says_that_there_are_more_than_it_shows(cli: Cli, writer: Writer) -> None:
    for index in range(51):
        writer.run(f"run-number-{index:02}")
    result = cli("runs", "list")
    assert len(result.out.splitlines()) == 51
    assert "the newest 50; --limit N" in result.err
    assert "the first 50; --limit N" in cli("runs", "list", "--sort", "name").err
    assert len(cli("runs", "list", "--json").json) == 51


@pytest.mark.parametrize("selector", ["only-run", "only", "latest"])
def test_show_takes_an_id_a_prefix_or_latest(cli: Cli, writer: Writer, selector: str) -> None:
    writer.run("only-run")
    assert cli("runs", "show", selector, "--json").json["id"] == "only-run"


def test_show_tells_the_story_of_a_run(cli: Cli, writer: Writer) -> None:
    data = writer.artifact("data", b"rows")
    model = writer.artifact("model", b"weights", type="model", parents=(data.ref,))
    writer.run("only-run", params={"optim.lr": 0.25}, uses=(data,), makes=(model,))
    page = cli("runs", "show", "latest").out
    for part in (
        "COMPLETED", "baseline", "only-run", "took 12.5 s", "python train.py",
        "main @ aaaaaaaaaaaa", "clean", "optim.lr", "0.25", "accuracy", "data:v1", "model:v1",
        "42, set in random", "torch 2.5.0", "complete", "blocking 0.01 s",
    ):  # fmt: skip
        assert part in page


def test_show_tells_a_failed_and_incomplete_run(cli: Cli, writer: Writer) -> None:
    writer.run("only-run", state=RunState.FAILED)
    assert cli("runs", "show", "latest").out.startswith("FAILED")


def test_diff_of_equal_runs_says_same(cli: Cli, writer: Writer) -> None:
    writer.run("run-a")
    writer.run("run-b")
    result = cli("runs", "diff", "run-a", "run-b", "--json")
    assert result.code == 0
    assert result.json["same"] is True
    assert not any(result.json["differences"].values())
    page = cli("runs", "diff", "run-a", "run-b").out
    assert "same: nothing that was recorded differs" in page
    assert result.json["unrecorded"] == ["inputs", "models", "data", "outputs"]
    assert "nothing recorded: inputs, models, data, outputs\n" in page


def test_diff_does_not_call_the_same_what_neither_run_recorded(cli: Cli) -> None:
    for code in ("0", "1"):
        cli("run", "--", "sh", "-c", f"exit {code}")
    runs = [run["id"] for run in cli("runs", "list", "--json").json]
    *_, same, nothing = cli("runs", "diff", *runs).out.splitlines()
    assert same == "same: environment"
    assert nothing == "nothing recorded: params, metrics, git, inputs, models, data, outputs, seeds"


def test_diff_of_three_says_what_puts_many_side_by_side(cli: Cli) -> None:
    refused = cli("runs", "diff", "aaaa", "bbbb", "cccc")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("error: 3 runs are given, and two are compared")
    assert "runs list --columns" in refused.err


def test_diff_names_what_differs_down_to_package_versions(cli: Cli, writer: Writer) -> None:
    old, new = writer.artifact("data", b"old"), writer.artifact("data", b"new")
    first, second = writer.artifact("model-run-a", b"1"), writer.artifact("model-run-b", b"2")
    writer.run(
        "run-a", params={"lr": 0.1, "only": 1}, metrics={"f1": 0.5}, seed=1, commit="a" * 40,
        packages={"torch": "2.4.0", "numpy": "2.0"}, uses=(old,), makes=(first,),
    )  # fmt: skip
    writer.run(
        "run-b", params={"lr": 0.2}, metrics={"f1": 0.6}, seed=2, commit="b" * 40,
        packages={"torch": "2.5.0", "numpy": "2.0"}, uses=(new,), makes=(second,),
    )  # fmt: skip
    found = cli("runs", "diff", "run-a", "run-b", "--json").json
    assert (found["a"], found["b"], found["same"]) == ("run-a", "run-b", False)
    differences = found["differences"]
    assert differences["params"] == [
        {"name": "lr", "a": 0.1, "b": 0.2},
        {"name": "only", "a": 1, "b": None},
    ]
    assert differences["metrics"] == [{"name": "f1", "a": 0.5, "b": 0.6}]
    assert differences["environment"] == [{"name": "packages.torch", "a": "2.4.0", "b": "2.5.0"}]
    assert differences["inputs"] == [{"name": "data", "a": ["v1"], "b": ["v2"]}]
    assert [each["name"] for each in differences["outputs"]] == ["model-RUN"]
    assert [each["name"] for each in differences["seeds"]] == ["seed"]
    assert [each["name"] for each in differences["git"]] == ["commit"]
    assert differences["command"] == []
    page = cli("runs", "diff", "run-a", "run-b").out
    assert "packages.torch" in page
    assert "same: command, outcome" in page


def test_show_tells_what_the_patch_of_the_code_leaves_out(cli: Cli, writer: Writer) -> None:
    reason = "big.bin is too large for the patch"
    writer.run("only-run")
    process = ProcessStarted(
        run_id="only-run", attempt=2, rank=0, world_size=1, owner=True, writer_id="1" * 32,
        host="box", boot_id=None, pid=77, process_start=None, directory="/home/u", python="3.11.7",
        user="u", recorder_version="0.1.0",
        command=("python", "-c", "a = 'x'\nb()" + "#" * 500, "two words"),
    )  # fmt: skip
    journal = writer.store.begin(process)
    journal.take(
        CodeCaptured(git=GitState(commit="a" * 40, branch="main", dirty=True), reason=reason), BEGAN
    )
    journal.close()
    page = cli("runs", "show", "only-run").out
    assert f"- note: code: {reason}\n" in page
    [command] = [line for line in page.splitlines() if line.startswith("command")]
    assert command.split(maxsplit=1)[1].startswith(r"python -c $'a = \'x\'\nb()###")
    assert command.endswith("#…' 'two words'")


def test_json_goes_alone_to_stdout(cli: Cli, writer: Writer) -> None:
    writer.run("only-run")
    for command in (
        ["runs", "list"],
        ["runs", "show", "latest"],
        ["runs", "diff", "latest", "latest"],
    ):
        result = cli(*command, "--json")
        assert result.json is not None
        assert result.err == ""


def test_diff_sees_each_version_that_a_run_made(cli: Cli, writer: Writer) -> None:
    first, second, same = (writer.artifact("out", content) for content in (b"1", b"2", b"3"))
    writer.run("run-a", makes=(first, same))
    writer.run("run-b", makes=(second, same))
    [found] = cli("runs", "diff", "run-a", "run-b", "--json").json["differences"]["outputs"]
    assert (found["a"], found["b"]) == ([first.digest, same.digest], [second.digest, same.digest])


def test_diff_tells_metrics_that_end_alike_and_went_another_way(cli: Cli) -> None:
    script = (
        "import sys\nfrom instrument import ExperimentContext\n"
        "with ExperimentContext(run_id=sys.argv[1]) as run:\n"
        "    for step, loss in enumerate(map(float, sys.argv[2:])):\n"
        "        run.log_metrics({'loss': loss, 'same': step * 0 + 1.0}, step=step)\n"
    )
    ways = {"run-a": ["3", "2", "1"], "run-b": ["3", "2.5", "1"], "run-c": ["3", "2", "1", "1"]}
    for run_id, losses in ways.items():
        subprocess.run([sys.executable, "-c", script, run_id, *losses], check=True, timeout=60)
    found = cli("runs", "diff", "run-a", "run-b", "--json").json
    assert found["same"] is False
    [loss] = found["differences"]["metrics"]
    assert loss["name"] == "loss (all values)"
    assert loss["a"] == {"values": 3, "first_other": {"step": 1, "value": 2.0}}
    assert loss["b"] == {"values": 3, "first_other": {"step": 1, "value": 2.5}}
    longer = cli("runs", "diff", "run-a", "run-c", "--json").json["differences"]["metrics"]
    assert [each["name"] for each in longer] == ["loss (all values)", "same (all values)"]
    assert longer[0]["a"] == {"values": 3}
    assert "loss (all values)" in cli("runs", "diff", "run-a", "run-b").out


def test_diff_tells_how_to_see_the_lines_of_code(cli: Cli, writer: Writer) -> None:
    for run_id in ("run-a", "run-b", "run-c"):
        writer.run(run_id)
    for run_id in ("run-a", "run-b"):
        patch = writer.store.put_bytes(f"-old\n+{run_id}\n".encode())
        _recode(writer, run_id, patch)
    page = cli("runs", "diff", "run-a", "run-b").out
    [line] = [line for line in page.splitlines() if "lines of the patches: " in line]
    command = line.partition("lines of the patches: ")[2]
    assert command == "diff <(instrument runs patch run-a) <(instrument runs patch run-b)"
    assert "instrument runs patch run-a\n" in cli("runs", "diff", "run-a", "run-c").out


def _recode(writer: Writer, run_id: str, patch: str) -> None:
    """A second attempt of the run, whose code had a patch."""
    process = ProcessStarted(
        run_id=run_id, attempt=2, rank=0, world_size=1, owner=True, writer_id="1" * 32,
        host="box", boot_id=None, pid=77, process_start=None, directory="/home/u", python="3.11.7",
        user="u", recorder_version="0.1.0", command=("python", "train.py"),
    )  # fmt: skip
    journal = writer.store.begin(process)
    git = GitState(commit="a" * 40, branch="main", dirty=True)
    journal.take(CodeCaptured(git=git, patch=patch), BEGAN)
    journal.close()


def test_what_people_set_comes_before_what_was_seen_of_optimizers(cli: Cli, writer: Writer) -> None:
    seen = {f"optimizer_2.group_0.option_{number:02}": number for number in range(60)}
    writer.run("the-one", params={"dataloader.batch_size": 8, **seen, "a": None, "lr": 0.1})
    page = cli("runs", "show", "the-one").out
    assert page.index("lr ") < page.index("dataloader.batch_size") < page.index("option_00")
    assert "and 23 more; --json shows all" in page
    assert "lr 0.1  dataloader.batch_size 8" in cli("runs", "list").out


def test_the_traceback_of_a_failed_run_is_told(cli: Cli, store_path: Path) -> None:
    script = "from instrument import ExperimentContext\ndef deep():\n    1 / 0\n"
    script += "with ExperimentContext(monitor_hardware=False):\n    deep()\n"
    subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    page = cli("runs", "show", "latest").out
    assert "traceback" in page
    assert "in deep" in page
    told = cli("runs", "show", "latest", "--json").json["traceback"]
    assert told.startswith("Traceback (most recent call last)")
    assert told.rstrip().endswith("ZeroDivisionError: division by zero")


def test_without_an_exception_there_is_no_traceback(cli: Cli, writer: Writer) -> None:
    writer.run("fine-run")
    assert cli("runs", "show", "fine-run", "--json").json["traceback"] is None
    assert "traceback" not in cli("runs", "show", "fine-run").out
