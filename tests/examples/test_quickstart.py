"""The quickstart runs, and what is recorded of it is true."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split
from torch import nn

from instrument.artifacts import use
from instrument.naming import parse_reference
from instrument.protocols import Store
from instrument.records import CheckpointSaved
from instrument.vocabulary import RunState

Script: TypeAlias = Callable[..., str]
QUICKSTART = str(Path(__file__).parents[2] / "examples" / "quickstart.py")
DATASET, MODEL = "dataset-digits-1:v1", "digits-classifier:v1"
EVALUATION = "eval-digits-classifier-on-digits:v1"


@pytest.fixture(scope="module")
def printed(script: Script) -> str:
    """The quickstart was run once; this is what it said."""
    return script(QUICKSTART)


def test_the_run_is_recorded_whole(printed: str, examples: Store) -> None:
    run = examples.run("latest")
    assert (run.name, run.state, run.tags) == ("quickstart", RunState.COMPLETED, ("digits",))
    assert run.recording.complete
    assert run.recording.problems == []
    assert run.params["epochs"] == 8
    assert run.seeds is not None
    assert run.seeds["seed"] == 42
    assert {"torch", "numpy", "random"} <= set(run.seeds["set_in"])


def test_what_it_prints_is_what_is_recorded(printed: str, examples: Store) -> None:
    accuracy = examples.run("latest").metrics["accuracy"]
    assert isinstance(accuracy, float)
    assert accuracy > 0.9
    assert f"{accuracy:.1%} of 450 unseen digits" in printed


def test_the_evaluation_comes_from_the_model_and_the_dataset(printed: str, examples: Store) -> None:
    def parents(reference: str) -> set[str]:
        return set(examples.resolve(parse_reference(reference)).parents)

    assert parents(EVALUATION) == {DATASET, MODEL}
    assert parents(MODEL) == {DATASET}
    assert parents(DATASET) == set()


def test_the_stored_model_does_what_the_evaluation_says(printed: str, examples: Store) -> None:
    digits = use(examples, DATASET).load()
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    model.load_state_dict(use(examples, MODEL).load())
    _, images, _, labels = train_test_split(
        torch.tensor(digits["images"] / 16, dtype=torch.float32),
        torch.tensor(digits["labels"]),
        test_size=0.25,
        random_state=0,
    )
    predicted = model(images).argmax(dim=1)
    found = use(examples, EVALUATION).load()
    assert confusion_matrix(labels, predicted).tolist() == found["confusion_matrix"]
    assert found["accuracy"] == examples.run("latest").metrics["accuracy"]


def test_the_dataset_is_the_one_of_scikit_learn(printed: str, examples: Store) -> None:
    stored = use(examples, DATASET).load()
    assert (stored["images"] == load_digits().data).all()


def test_each_epoch_left_a_checkpoint_and_best_is_the_best(printed: str, examples: Store) -> None:
    entries = examples.entries(examples.run("latest").id)
    saved = [entry.record for entry in entries if isinstance(entry.record, CheckpointSaved)]
    assert [record.step for record in saved] == list(range(8))
    lowest = min(saved, key=lambda record: float(record.metrics["loss"]))
    name = lowest.ref.partition(":")[0]
    assert examples.resolve(parse_reference(f"{name}:best")).ref == lowest.ref


def test_the_commands_it_names_tell_the_story(printed: str, script: Script) -> None:
    advised = [
        line.split()[1:] for line in printed.splitlines() if line.startswith("  instrument ")
    ]
    told = {words[0]: script("-m", "instrument", *words) for words in advised}
    assert "COMPLETED" in told["runs"]
    assert "dataset-digits-1:v1" in told["lineage"]
    assert set(told) == {"runs", "lineage", "verify"}


def test_once_more_gives_the_same_model(
    printed: str, script: Script, examples: Store, examples_store: Path
) -> None:
    assert script(QUICKSTART) == printed
    versions = {version.ref for version in examples.artifacts("digits-classifier")}
    assert versions == {MODEL}
    assert len(examples.runs()) == 2
