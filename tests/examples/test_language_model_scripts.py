"""From the raw text to the evaluation of a tuned model: every script, and what is recorded."""

import hashlib
import pydoc_data.topics
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from instrument.artifacts import use
from instrument.naming import parse_reference
from instrument.protocols import Store
from instrument.records import RunStarted
from instrument.vocabulary import ArtifactVersion, RunState

Script: TypeAlias = Callable[..., str]
EXAMPLES = Path(__file__).parents[2] / "examples"
FILTER, TRAIN, EVALUATE = (
    str(EXAMPLES / name) for name in ("filter_and_score.py", "train.py", "evaluate.py")
)
RAW, DATASET = "dataset-topics-raw:v1", "dataset-topics-1:v1"


@pytest.fixture(scope="module")
def filtered(script: Script) -> str:
    """The dataset was made once; this is what the script said."""
    return script(FILTER, "--exp-name", "prepare", "--capture-level", "1", "--offline")


def test_the_dataset_comes_from_the_text_that_ships_with_python(
    filtered: str, examples: Store
) -> None:
    source = Path(str(pydoc_data.topics.__file__)).read_bytes()
    raw = examples.resolve(parse_reference(RAW))
    assert raw.digest == f"sha256:{hashlib.sha256(source).hexdigest()}"
    assert examples.resolve(parse_reference(DATASET)).parents == (RAW,)


def test_every_document_kept_keeps_the_limits(filtered: str, examples: Store) -> None:
    dataset = use(examples, DATASET)
    rows = dataset.path().read_text().splitlines()
    assert (
        len(rows) == dataset.version.metadata["documents"] == examples.run("latest").metrics["kept"]
    )
    assert f"{len(rows)} documents" in filtered
    assert len(rows) > 100


def test_the_options_are_heeded(filtered: str, examples: Store) -> None:
    run = examples.run("latest")
    started = [
        entry.record for entry in examples.entries(run.id) if isinstance(entry.record, RunStarted)
    ]
    assert (run.name, [record.capture_level for record in started]) == ("prepare", [1])
    assert run.params["min_novelty"] == 0.7


def test_other_limits_make_another_version(filtered: str, script: Script, examples: Store) -> None:
    script(FILTER)
    script(FILTER, "--min-novelty", "0.9")
    refs = [version.ref for version in examples.artifacts("dataset-topics-1")]
    assert refs == [DATASET, "dataset-topics-1:v2"]


@pytest.mark.slow
def test_a_tuned_model_leads_back_to_the_raw_text(
    filtered: str, script: Script, examples: Store
) -> None:
    script(TRAIN, "--mode", "sft", "--dataset", DATASET, "--steps", "30")
    base = _output(examples, "model")
    script(
        TRAIN, "--mode", "rft", "--dataset", DATASET, "--model", base.ref,
        "--steps", "2", "--rounds", "2", "--samples", "32",
    )  # fmt: skip
    tuned = _output(examples, "model")
    printed = script(EVALUATE, "--dataset", DATASET, "--model", base.ref, tuned.ref)
    evaluation = _output(examples, "evaluation")

    assert set(evaluation.parents) == {tuned.ref, DATASET}
    assert base.parents == (DATASET,)
    assert base.ref in tuned.parents
    assert RAW in _ancestors(examples, evaluation)
    perplexity = examples.run("latest").metrics[f"{base.ref}.perplexity"]
    assert f"perplexity {perplexity:.3f}" in printed
    assert all(run.state == RunState.COMPLETED for run in examples.runs())
    assert all(run.recording.problems == [] for run in examples.runs())


def _output(store: Store, kind: str) -> ArtifactVersion:
    """The last output of type `kind` of the newest run."""
    outputs = [store.resolve(parse_reference(ref)) for ref in store.run("latest").outputs]
    return [version for version in outputs if version.type == kind][-1]


def _ancestors(store: Store, version: ArtifactVersion) -> set[str]:
    found: set[str] = set()
    waiting = list(version.parents)
    while waiting:
        reference = waiting.pop()
        if reference not in found:
            found.add(reference)
            waiting += store.resolve(parse_reference(reference)).parents
    return found
