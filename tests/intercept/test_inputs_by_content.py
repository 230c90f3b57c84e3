"""What a run loads or reads, and the store has as an artifact, is an input of the run."""

import shutil
from pathlib import Path
from typing import Any

import pandas
import pytest
from intercept.loading import loads_of
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, LlamaForCausalLM

from instrument import ExperimentContext
from instrument.lineage import ancestors, build_graph


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

    _, summary = _run(work)
    assert (summary.inputs, summary.outputs) == ([], ["table:v1"])


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
    save_file({name: value + 1 for name, value in weights.items()}, other / "model.safetensors")
    second = _logged("llama", other, "model")
    assert second == "llama:v2"
    _, summary = _run(lambda _: LlamaForCausalLM.from_pretrained(other))
    assert summary.inputs == [second]
    _, summary = _run(lambda _: AutoTokenizer.from_pretrained(other))
    assert summary.inputs == [], "both versions have this tokenizer"


def test_a_store_without_artifacts_is_not_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from instrument_local import LocalStore

    monkeypatch.setattr(LocalStore, "artifacts", lambda *_: pytest.fail("it was searched"))
    path = _table(tmp_path / "t.csv")
    assert not loads_of(lambda: pandas.read_csv(path)).problems
