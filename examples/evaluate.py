"""Evaluate language models on the held-out documents of a dataset.

    python examples/evaluate.py --dataset dataset-topics-1 --model model-BASE:v1 model-TUNED:v1

Each evaluation is an artifact whose parents are the model and the dataset; ``instrument lineage``
follows it back to the raw text.
"""

from typing import Any

import corpus
import language_model
import options
from reward import WordReward

from instrument import ArtifactVersion, ExperimentContext, log_metrics, reproducible
from instrument.naming import evaluation_name


@reproducible(seed=1)
def evaluate(model: Any, tokenizer: Any, documents: list[dict[str, Any]]) -> dict[str, float]:
    """Perplexity on the held-out documents, and the mean reward of sampled completions of them."""
    held_out = [document["text"] for document in documents if document["split"] == "held_out"]
    reward = WordReward(document["text"] for document in documents)
    completions = language_model.complete(model, tokenizer, held_out)
    return {
        "perplexity": language_model.perplexity(model, language_model.windows(tokenizer, held_out)),
        "reward": sum(reward(more) for _, more in completions) / len(completions),
    }


def evaluate_one(run: ExperimentContext, reference: str, dataset: str) -> ArtifactVersion:
    """Evaluate the model `reference` on `dataset` and log the result."""
    data, model = run.use_artifact(dataset), run.use_artifact(reference)
    results = evaluate(*language_model.load(model.path()), corpus.read_jsonl(data.path()))
    log_metrics({f"{model.ref}.{name}": value for name, value in results.items()})
    print(f"{model.ref}: " + ", ".join(f"{name} {value:.3f}" for name, value in results.items()))
    return run.log_artifact(
        evaluation_name(model.ref, data.ref),
        "evaluation",
        data={"model": model.ref, "dataset": data.ref, **results},
        parent_artifacts=[model.ref, data.ref],
    )


def main() -> None:
    """Evaluate each model."""
    parser = options.parser(__doc__, "evaluate")
    parser.add_argument("--dataset", default="dataset-topics-1", help="reference (%(default)s)")
    parser.add_argument("--model", nargs="+", required=True, help="references of models")
    args = parser.parse_args()

    with options.open_run(args, tags=("evaluation",)) as run:
        evaluations = [evaluate_one(run, model, args.dataset) for model in args.model]
    print(f"next: instrument lineage {evaluations[-1].ref}")


if __name__ == "__main__":
    main()
