"""Compare a base model and one fine-tuned from it, each known by its content.

    python examples/compare_models.py --temperature 0.4

Both are made here, in seconds, from text that ships with Python. The evaluation says which files
each model was loaded from, and with which settings it generated: as seen, not as typed.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import corpus
import language_model
import options

from instrument import (
    ArtifactVersion,
    CleanModelLoader,
    ExperimentContext,
    create_artifact_metadata,
    log_metrics,
    reproducible,
)
from instrument.naming import dataset_name, evaluation_name, model_name

RAW, DATASET = dataset_name("topics", "raw"), dataset_name("topics", "compared")
EVERY = 4
PROMPTS = 4
Texts = dict[str, list[str]]


def main() -> None:
    """Make the dataset and the models, evaluate both, log the comparison."""
    parser = options.parser(__doc__, "compare-models")
    parser.add_argument("--steps", type=int, default=30, help="training steps (%(default)s)")
    parser.add_argument("--temperature", type=float, default=0.7, help="(%(default)s)")
    parser.add_argument("--max-new-tokens", type=int, default=24, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the training (%(default)s)")
    parser.add_argument("--eval-seed", type=int, default=1, help="of the samples (%(default)s)")
    args = parser.parse_args()

    with options.open_run(args, tags=("evaluation",)) as run, tempfile.TemporaryDirectory() as tmp:
        dataset, texts = make_dataset(run, Path(tmp))
        models = make_models(run, dataset, texts, args.steps, Path(tmp))
        evaluation = compare(run, dataset, models, texts["held_out"], args)
    print(f"next: instrument lineage {evaluation.ref}")


def make_dataset(run: ExperimentContext, scratch: Path) -> tuple[ArtifactVersion, Texts]:
    """Every fourth document: text about ``statements`` to tune on, the rest for the base model."""
    raw = run.log_artifact(
        RAW, "dataset", file_path=corpus.SOURCE, metadata={"source": "pydoc_data.topics"}
    )
    rows = [*corpus.documents()][::EVERY]
    dataset = run.log_artifact(
        DATASET,
        "dataset",
        file_path=corpus.write_jsonl(rows, scratch / "topics.jsonl"),
        metadata={"documents": len(rows)},
        parent_artifacts=[raw],
    )
    texts: Texts = {"base": [], "tuned": [], "held_out": []}
    for row in corpus.read_jsonl(run.use_artifact(dataset).path()):
        about = "tuned" if "statement" in row["text"] else "base"
        texts["held_out" if row["split"] == "held_out" else about].append(row["text"])
    return dataset, texts


@reproducible
def make_models(
    run: ExperimentContext, dataset: ArtifactVersion, texts: Texts, steps: int, scratch: Path
) -> dict[str, ArtifactVersion]:
    """Train a model on the one kind of text, then further on the other."""
    tokenizer = language_model.new_tokenizer(texts["base"])
    model = language_model.new_model(tokenizer)
    made: dict[str, ArtifactVersion] = {}
    for name, learning_rate in (("base", 3e-3), ("tuned", 1e-3)):
        rows = language_model.windows(tokenizer, texts[name])
        losses = language_model.training_steps(model, rows, steps, learning_rate)
        for step, loss in enumerate(losses):
            log_metrics({f"{name}.loss": loss}, step=step)
        made[name] = run.log_artifact(
            model_name(f"{run.id}-{name}"),
            "model",
            file_path=language_model.save(model, tokenizer, scratch / name),
            parent_artifacts=[dataset, *made.values()],
        )
    return made


def compare(
    run: ExperimentContext,
    dataset: ArtifactVersion,
    models: dict[str, ArtifactVersion],
    held_out: list[str],
    args: argparse.Namespace,
) -> ArtifactVersion:
    """Evaluate each model on the same texts, and log what came out with what it came from."""
    results: dict[str, Any] = {}
    described: dict[str, Any] = {}
    for name, model in models.items():
        loader = CleanModelLoader(str(run.use_artifact(model).path()))
        _, _, provenance = loader.load()
        results[name] = evaluate(loader, held_out, args)
        settings = loader.last_generation
        digest = provenance["model_digest"]
        described[name] = {"artifact": model.ref, "digest": digest, "settings": settings}
        log_metrics({f"{name}.perplexity": results[name]["perplexity"]})
        print(f"{name} {model.ref} ({digest[:19]}…): perplexity {results[name]['perplexity']:.1f}")
    metadata = create_artifact_metadata(
        provenance,  # of the tuned model, which comes last
        __file__,
        "evaluation",
        models=described,
        dataset={
            "name": dataset.ref,
            "size": dataset.metadata["documents"],
            "source": "pydoc_data.topics",
            "sha256": dataset.digest.removeprefix("sha256:"),
        },
        eval_seed=settings["seed"],
        artifact_parent_ids=[dataset.ref, *(model.ref for model in models.values())],
        **settings,
    )
    return run.log_artifact(
        evaluation_name(models["tuned"].ref, dataset.ref),
        "evaluation",
        data={"metadata": metadata, "results": results},
        metadata=metadata,
        parent_artifacts=[dataset, *models.values()],
    )


def evaluate(
    loader: CleanModelLoader, held_out: list[str], args: argparse.Namespace
) -> dict[str, Any]:
    """Perplexity on the held-out texts, and sampled continuations of the first of them."""
    model, tokenizer, _ = loader.load()
    prompts = [" ".join(text.split()[:8]) for text in held_out[:PROMPTS]]
    texts = loader.generate(
        prompts,
        seed=args.eval_seed,
        do_sample=True,
        temperature=args.temperature,
        max_new_tokens=args.max_new_tokens,
    )
    return {
        "perplexity": language_model.perplexity(model, language_model.windows(tokenizer, held_out)),
        "samples": [
            {"prompt": prompt, "continuation": text}
            for prompt, text in zip(prompts, texts, strict=True)
        ],
    }


if __name__ == "__main__":
    main()
