"""The comparison of two models says of each what it is by content, and how it really generated."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from instrument.artifacts import use
from instrument.naming import parse_reference
from instrument.protocols import Store
from instrument.records import ContentIdentified, GenerationCalled, ModelLoaded
from instrument.vocabulary import ArtifactVersion, RunState

Script: TypeAlias = Callable[..., str]
COMPARE = str(Path(__file__).parents[2] / "examples" / "compare_models.py")
ASKED = {"temperature": 0.4, "max_new_tokens": 6, "do_sample": True}
READ = ("config.json", "generation_config.json", "model.safetensors")


@pytest.fixture(scope="module")
def printed(script: Script) -> str:
    """The comparison was made once; this is what the script said."""
    return script(
        COMPARE, "--offline", "--exp-name", "versus", "--capture-level", "1", "--steps", "4",
        "--temperature", "0.4", "--max-new-tokens", "6", "--eval-seed", "7",
    )  # fmt: skip


@pytest.fixture
def evaluation(printed: str, examples: Store) -> ArtifactVersion:
    outputs = [examples.resolve(parse_reference(ref)) for ref in examples.run("latest").outputs]
    (version,) = (one for one in outputs if one.type == "evaluation")
    return version


def records(store: Store, kind: type[Any]) -> list[Any]:
    entries = store.entries(store.run("latest").id)
    return [entry.record for entry in entries if isinstance(entry.record, kind)]


def sha256sum(directory: Path) -> str:
    command = f"sha256sum {' '.join(READ)} | sha256sum"
    done = subprocess.run(
        ["sh", "-c", command], cwd=directory, capture_output=True, text=True, check=True
    )
    return f"sha256:{done.stdout.split()[0]}"


def test_the_options_are_heeded(evaluation: ArtifactVersion, examples: Store) -> None:
    run = examples.run("latest")
    assert (run.name, run.state, run.params["temperature"]) == ("versus", RunState.COMPLETED, 0.4)
    assert run.recording.problems == []


def test_each_model_is_known_by_content(
    evaluation: ArtifactVersion, examples: Store, tmp_path: Path
) -> None:
    models = evaluation.metadata["models"]
    assert set(models) == {"base", "tuned"}
    assert models["base"]["digest"] != models["tuned"]["digest"]
    assert evaluation.metadata["model_digest"] == models["tuned"]["digest"]
    for name, model in models.items():
        copied = tmp_path / name
        use(examples, model["artifact"]).copy_to(copied)
        assert model["digest"] == sha256sum(copied)
    weights = {one.load_id for one in records(examples, ModelLoaded) if one.what == "model"}
    content = [one for one in records(examples, ContentIdentified) if one.load_id in weights]
    assert [one.digest for one in content] == [models[name]["digest"] for name in models]


def test_the_settings_are_those_of_the_calls(
    evaluation: ArtifactVersion, examples: Store, printed: str
) -> None:
    sampled = [
        one.settings for one in records(examples, GenerationCalled) if one.settings["do_sample"]
    ]
    assert len(sampled) == 2
    for model, settings in zip(evaluation.metadata["models"].values(), sampled, strict=True):
        assert model["settings"] == {**settings, "seed": 7}
        assert settings.items() >= ASKED.items()
    assert evaluation.metadata.items() >= {**ASKED, "seed": 7, "eval_seed": 7}.items()


def test_the_lineage_leads_to_the_raw_text(evaluation: ArtifactVersion, examples: Store) -> None:
    base, tuned = (one["artifact"] for one in evaluation.metadata["models"].values())
    dataset = examples.resolve(parse_reference("dataset-topics-compared"))
    assert set(evaluation.parents) == {base, tuned, dataset.ref}
    assert set(evaluation.parents) == set(evaluation.metadata["artifact_parent_ids"])
    assert examples.resolve(parse_reference(tuned)).parents == (dataset.ref, base)
    assert examples.resolve(parse_reference(base)).parents == (dataset.ref,)
    assert dataset.parents == ("dataset-topics-raw:v1",)
    assert evaluation.metadata["dataset"]["sha256"] == dataset.digest.removeprefix("sha256:")
    assert evaluation.metadata["dataset"]["size"] == dataset.metadata["documents"]


def test_what_it_says_is_what_it_measured(
    evaluation: ArtifactVersion, examples: Store, printed: str
) -> None:
    results = use(examples, evaluation.ref).load()["results"]
    metrics = examples.run("latest").metrics
    for name, result in results.items():
        assert result["perplexity"] == metrics[f"{name}.perplexity"]
        assert f"perplexity {result['perplexity']:.1f}" in printed
        assert len(result["samples"]) == 4
        assert all(sample["prompt"] for sample in result["samples"])
    assert f"next: instrument lineage {evaluation.ref}" in printed
