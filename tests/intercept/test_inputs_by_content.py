"""What a run loads or reads, and the store has as an artifact, is an input of the run."""

import shutil
import threading
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from intercept.loading import digest, loads_in, loads_of
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, LlamaForCausalLM

from instrument import ExperimentContext
from instrument.lineage import ancestors, build_graph
from instrument.records import EnvironmentCaptured, Problem
from instrument_local import LocalStore


def _logged(name: str, path: Path, kind: str = "dataset") -> str:
    with ExperimentContext(name="makes", monitor_hardware=False, capture_level=1) as run:
        return run.log_artifact(name, kind, file_path=path).ref


def _run(work: Any) -> Any:
    with ExperimentContext(name="uses", monitor_hardware=False, capture_level=1) as run:
        work(run)
    assert run.store is not None
    return run.store, run.store.run(run.id)


def _table(path: Path, value: int = 1) -> Path:
    pandas.DataFrame({"a": [value, 2]}).to_csv(path, index=False)
    return path


def test_a_file_that_is_an_artifact_is_an_input_and_lineage_knows_it(tmp_path: Path) -> None:
    path = _table(tmp_path / "t.csv")
    ref = _logged("table", path)
    copy = tmp_path / "copy of it.csv"
    copy.write_bytes(path.read_bytes())

    def work(run: ExperimentContext) -> None:
        pandas.read_csv(copy)
        run.log_artifact("result", "result", data={"sum": 3})

    store, summary = _run(work)
    assert summary.inputs == [ref]
    assert ref in ancestors(build_graph(store), "result:v1")


def test_other_bytes_are_no_input(tmp_path: Path) -> None:
    _logged("table", _table(tmp_path / "t.csv"))
    _, summary = _run(lambda _: pandas.read_csv(_table(tmp_path / "t.csv", 7)))
    assert summary.inputs == []


def test_what_the_run_made_itself_is_no_input_of_it(tmp_path: Path) -> None:
    path = _table(tmp_path / "t.csv")

    def work(run: ExperimentContext) -> None:
        run.log_artifact("table", "dataset", file_path=path)
        pandas.read_csv(path)

    for _ in range(2):  # the second run logs again what the first has made
        _, summary = _run(work)
        assert (summary.inputs, summary.outputs) == ([], ["table:v1"])


def test_what_was_read_is_a_parent_of_what_is_made_next_however_soon(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a\n" + b"1\n" * 4_000_000)  # so that it has no digest at once
    ref = _logged("table", path)
    (path := path.rename(tmp_path / "moved.csv")).touch()  # its digest is to be found anew

    def work(run: ExperimentContext) -> None:
        pandas.read_csv(path, nrows=1)
        assert run.log_artifact("result", data=[1]).parents == (ref,)
        assert run.log_artifact("alone", data=[1], parent_artifacts=[]).parents == ()

    _, summary = _run(work)
    assert summary.inputs == [ref]


def _held_back(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """No digest is known before the event is set."""
    go_on = threading.Event()
    identify = LocalStore.identify

    def slow(store: LocalStore, path: Path) -> Any:
        go_on.wait(30)
        return identify(store, path)

    monkeypatch.setattr(LocalStore, "identify", slow)
    return go_on


def test_a_version_that_does_not_wait_long_enough_for_a_parent_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = _logged("table", path := _table(tmp_path / "t.csv"))
    go_on = _held_back(monkeypatch)

    def work(run: ExperimentContext) -> None:
        pandas.read_csv(path)
        assert run.log_artifact("first", data=[1]).parents == ()
        assert run.log_artifact("second", data=[1]).parents == ()
        go_on.set()
        assert run.log_artifact("alone", data=[1], parent_artifacts=[]).parents == ()

    store, summary = _run(work)
    assert summary.inputs == [ref]
    problems = [entry.record for entry in store.entries(summary.id)]
    (problem,) = [record for record in problems if isinstance(record, Problem)]
    assert problem.doing == f"keep '{ref}' as a parent of 'first', 'second'"


def test_equal_bytes_are_not_use_where_a_version_was_asked_for() -> None:
    """Two equal runs: the second has not touched the checkpoint of the first."""
    parents: list[tuple[str, ...]] = []

    def work(run: ExperimentContext) -> None:
        torch.manual_seed(0)
        model = torch.nn.Linear(2, 2)
        run.log_checkpoint(model, step=1)
        run.log_artifact("net", "model", data=model)
        run.use_artifact("net").load()
        parents.append(run.log_artifact("report", data=[len(parents)]).parents)

    inputs = [_run(work)[1].inputs for _ in range(2)]
    assert inputs == [["net:v1"], ["net:v1"]]
    assert parents == [("net:v1",), ("net:v1",)]


def test_an_artifact_that_is_loaded_is_used_and_no_load_but_its_path_may_be_loaded() -> None:
    values = {"net": torch.nn.Linear(2, 2), "table": pandas.DataFrame({"a": [1]})}
    with ExperimentContext(name="makes", monitor_hardware=False, capture_level=1) as run:
        for name, value in values.items():
            run.log_artifact(name, data=value)

    def work(*, by_path: bool) -> Any:
        with ExperimentContext(name="uses", monitor_hardware=False, capture_level=1) as run:
            net, table = (run.use_artifact(name) for name in values)
            net.load(), table.load()
            if by_path:
                load_file(net.path()), pandas.read_parquet(table.path())
        assert run.store is not None
        assert run.store.run(run.id).inputs == ["net:v1", "table:v1"]
        return loads_in(run)

    loads = work(by_path=False)
    assert (loads.loaded, loads.read, loads.problems) == ([], [], [])
    loads = work(by_path=True)
    assert [load.loader for load in loads.loaded] == ["safetensors.torch.load_file"]
    assert [read.reader for read in loads.read] == ["pandas.read_parquet"]


def test_bytes_that_two_names_have_are_the_one_that_was_asked_for_or_none(tmp_path: Path) -> None:
    path = _table(tmp_path / "t.csv")
    first, _ = _logged("first", path), _logged("second", path)

    def guess(run: ExperimentContext) -> None:
        pandas.read_csv(path)
        assert run.log_artifact("result", data=[1]).parents == ()

    def asked(run: ExperimentContext) -> None:
        pandas.read_csv(run.use_artifact("first").path())
        pandas.read_csv(path)

    store, summary = _run(guess)
    assert summary.inputs == []
    assert summary.data[0]["digest"] == digest(path)
    told = [entry.record for entry in store.entries(summary.id)]
    reasons = [
        health.reason or ""
        for record in told
        if isinstance(record, EnvironmentCaptured)
        for health in record.health
        if health.part == "interception of an input"
    ]
    assert len(reasons) == 1
    assert "is in first:v1, second:v1; use_artifact says which" in reasons[0]
    assert _run(asked)[1].inputs == [first]


def test_what_is_logged_after_it_was_read_is_no_input_and_a_parent_of_what_follows(
    tmp_path: Path,
) -> None:
    path = _table(tmp_path / "t.csv")

    def work(run: ExperimentContext) -> None:
        pandas.read_csv(path)
        run.log_artifact("table", "dataset", file_path=path)
        assert run.log_artifact("model", data=[1]).parents == ("table:v1",)

    _, summary = _run(work)
    assert summary.inputs == []
    _, again = _run(work)
    assert again.inputs == ["table:v1"], "it was there before this run read it"


def test_a_version_that_another_makes_after_the_read_is_no_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest is known late, when another run has logged the same file."""
    path = _table(tmp_path / "t.csv")
    go_on = _held_back(monkeypatch)

    def work(_: ExperimentContext) -> None:
        pandas.read_csv(path)
        with ExperimentContext(name="other", monitor_hardware=False, capture_level=1) as other:
            other.log_artifact("table", "dataset", file_path=path)
            go_on.set()

    _, summary = _run(work)
    assert summary.inputs == []


def test_a_version_that_another_made_while_the_run_was_open_is_an_input(tmp_path: Path) -> None:
    old, new = _table(tmp_path / "old.csv", 5), _table(tmp_path / "new.csv", 6)
    _logged("old", old)

    def work(_: ExperimentContext) -> None:
        pandas.read_csv(old)
        with ExperimentContext(name="other", monitor_hardware=False, capture_level=1) as other:
            other.log_artifact("new", "dataset", file_path=new)
        pandas.read_csv(new)

    _, summary = _run(work)
    assert summary.inputs == ["old:v1", "new:v1"]


@pytest.mark.filterwarnings("ignore")
def test_a_model_that_is_a_part_of_a_tree_is_found_and_two_that_may_be_are_not_guessed(
    models: Path, tmp_path: Path
) -> None:
    first = _logged("llama", models / "llama", "model")
    _, summary = _run(lambda _: LlamaForCausalLM.from_pretrained(models / "llama"))
    assert summary.inputs == [first]
    other = tmp_path / "llama"
    shutil.copytree(models / "llama", other)
    weights = load_file(other / "model.safetensors")
    changed = {name: value + 1 for name, value in weights.items()}
    save_file(changed, other / "model.safetensors", {"format": "pt"})
    second = _logged("llama", other, "model")
    assert second == "llama:v2"
    _, summary = _run(lambda _: LlamaForCausalLM.from_pretrained(other))
    assert summary.inputs == [second]
    _, summary = _run(lambda _: AutoTokenizer.from_pretrained(other))
    assert summary.inputs == [], "both versions have this tokenizer"


def test_a_store_without_artifacts_is_not_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalStore, "artifacts", lambda *_: pytest.fail("it was searched"))
    path = _table(tmp_path / "t.csv")
    assert not loads_of(lambda: pandas.read_csv(path)).problems


def _folder(path: Path, *values: int) -> Path:
    path.mkdir()
    for value in values:
        _table(path / f"{value}.csv", value)
    return path


@pytest.mark.parametrize("logged_first", [True, False])
@pytest.mark.parametrize("read", [["3.csv"], ["3.csv", "4.csv"]])
def test_a_file_of_a_tree_that_the_run_logs_itself_makes_the_tree_a_parent(
    tmp_path: Path, read: list[str], *, logged_first: bool
) -> None:
    tree, other = _folder(tmp_path / "tree", 3, 4), _folder(tmp_path / "other", 5)

    def work(run: ExperimentContext) -> None:
        if logged_first:
            run.log_artifact("tree", "dataset", file_path=tree)
        for name in read:
            pandas.read_csv(tree / name)
        if not logged_first:
            run.log_artifact("tree", "dataset", file_path=tree)
        run.log_artifact("other", "dataset", file_path=other, parent_artifacts=[])
        assert run.log_artifact("result", data=[1]).parents == ("tree:v1",)

    _, summary = _run(work)
    assert summary.inputs == []


def test_a_file_of_a_logged_tree_that_was_changed_since_is_not_the_tree(tmp_path: Path) -> None:
    tree = _folder(tmp_path / "tree", 3, 4)

    def work(run: ExperimentContext) -> None:
        run.log_artifact("tree", "dataset", file_path=tree)
        pandas.read_csv(_table(tree / "3.csv", 9))
        assert run.log_artifact("result", data=[1]).parents == ()

    _run(work)


def test_of_two_logged_trees_with_a_file_the_one_that_was_there_before_the_read_is_meant(
    tmp_path: Path,
) -> None:
    first, second = _folder(tmp_path / "first", 3), _folder(tmp_path / "second", 3, 4)

    def work(run: ExperimentContext) -> None:
        run.log_artifact("first", "dataset", file_path=first)
        pandas.read_csv(first / "3.csv")
        assert run.log_artifact("second", file_path=second).parents == ("first:v1",)
        assert run.log_artifact("result", data=[1]).parents == ("first:v1",)

    _run(work)


def test_a_tree_that_was_asked_for_is_meant_and_not_an_equal_one_that_the_run_logs(
    tmp_path: Path,
) -> None:
    tree = _folder(tmp_path / "tree", 3, 4)
    theirs = _logged("theirs", tree)

    def work(run: ExperimentContext) -> None:
        run.use_artifact(theirs)
        run.log_artifact("mine", file_path=tree, parent_artifacts=[])
        pandas.read_csv(tree / "3.csv")
        assert run.log_artifact("result", data=[1]).parents == (theirs,)

    _run(work)


def test_a_file_that_is_a_version_as_a_whole_is_not_taken_for_a_part_of_a_tree(
    tmp_path: Path,
) -> None:
    tree = _folder(tmp_path / "tree", 3, 4)

    def work(run: ExperimentContext) -> None:
        run.log_artifact("tree", file_path=tree)
        run.log_artifact("file", file_path=tree / "3.csv")
        pandas.read_csv(tree / "3.csv")
        assert run.log_artifact("one", data=[1]).parents == ("file:v1",)
        pandas.read_csv(tree / "4.csv")
        assert run.log_artifact("two", data=[1]).parents == ("file:v1", "tree:v1")

    _run(work)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("logged_first", [True, False])
def test_a_model_that_the_run_logs_itself_is_a_parent_of_what_it_makes_of_it(
    models: Path, *, logged_first: bool
) -> None:
    def work(run: ExperimentContext) -> None:
        if logged_first:
            run.log_artifact("base", "model", file_path=models / "llama")
        LlamaForCausalLM.from_pretrained(models / "llama")
        if not logged_first:
            run.log_artifact("base", "model", file_path=models / "llama")
        assert run.log_artifact("tuned", data=[1]).parents == ("base:v1",)

    _run(work)
