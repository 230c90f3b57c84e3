"""Train a small language model: from nothing on text (sft), or further on its own best texts (rft).

    python examples/train.py --mode sft --dataset dataset-topics-1
    python examples/train.py --mode rft --dataset dataset-topics-1 --model model-RUN:v1

``rft`` is rejection-sampling fine-tuning: the model writes, `reward.WordReward` judges, and the
model is trained on the best quarter of what it wrote.
"""

import argparse
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from statistics import fmean
from typing import Any

import corpus
import language_model
import options
import torch
from reward import WordReward

from instrument import ArtifactVersion, ExperimentContext, checkpoint, log_metrics, reproducible
from instrument.naming import model_name

STEPS = {"sft": 200, "rft": 30}


@reproducible
@checkpoint(frequency=100, save_best=False)
def supervised(
    model: Any, rows: torch.Tensor, steps: int
) -> Iterator[tuple[Any, dict[str, float]]]:
    """Train `model` on the text in `rows`; yields it and its loss after each step."""
    losses = language_model.training_steps(model, rows, steps, learning_rate=3e-3)
    for step, loss in enumerate(losses):
        log_metrics({"loss": loss}, step=step)
        yield model, {"loss": loss}


@reproducible
def rejection_sampling(
    model: Any, tokenizer: Any, texts: list[str], args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Train `model` on the best quarter of what it writes, round by round; returns all it wrote."""
    judge = WordReward(texts)
    prompts = cycle(texts)
    written = []
    for number in range(args.rounds):
        completions = language_model.complete(model, tokenizer, islice(prompts, args.samples))
        completions.sort(key=lambda pair: judge(pair[1]), reverse=True)
        kept = len(completions) // 4
        best = "\n\n".join(map("".join, completions[:kept]))
        rows = language_model.windows(tokenizer, [best])
        losses = list(language_model.training_steps(model, rows, args.steps, 3e-4))
        rewards = [judge(more) for _, more in completions]
        metrics = {"reward": fmean(rewards), "reward.kept": fmean(rewards[:kept])}
        log_metrics({**metrics, "loss": losses[-1]}, step=number)
        written += [
            {
                "round": number,
                "prompt": prompt,
                "text": more,
                "reward": judge(more),
                "kept": i < kept,
            }
            for i, (prompt, more) in enumerate(completions)
        ]
    return written


def main() -> None:
    """Read the options, open the run, train."""
    parser = options.parser(__doc__, "train")
    parser.add_argument("--mode", choices=("sft", "rft"), default="sft")
    parser.add_argument("--dataset", default="dataset-topics-1", help="reference (%(default)s)")
    parser.add_argument("--model", help="reference of the model that rft starts from")
    parser.add_argument("--steps", type=int, help="training steps (sft 200, each round of rft 30)")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of rft (%(default)s)")
    parser.add_argument("--samples", type=int, default=192, help="per round of rft (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed (%(default)s)")
    args = parser.parse_args()
    if (args.mode == "rft") != (args.model is not None):
        parser.error("--mode rft needs --model, and --mode sft takes none")
    args.steps = args.steps or STEPS[args.mode]

    with options.open_run(args, tags=(args.mode,)) as run, tempfile.TemporaryDirectory() as scratch:
        result = train(run, args, Path(scratch))
    print(f"{args.mode} made {result.ref} from {', '.join(result.parents)}")
    print(f"next: python examples/evaluate.py --dataset {args.dataset} --model {result.ref}")


def train(run: ExperimentContext, args: argparse.Namespace, scratch: Path) -> ArtifactVersion:
    """Train as `args` say and log what comes of it."""
    dataset = run.use_artifact(args.dataset)
    documents = corpus.read_jsonl(dataset.path())
    texts = [document["text"] for document in documents if document["split"] == "train"]
    parents = [dataset.ref]
    if args.mode == "sft":
        tokenizer = language_model.new_tokenizer(texts)
        model = language_model.new_model(tokenizer)
        rows = language_model.windows(tokenizer, texts)
        for _ in supervised(model, rows, args.steps):
            pass
    else:
        base = run.use_artifact(args.model)
        model, tokenizer = language_model.load(base.path())
        written = rejection_sampling(model, tokenizer, texts, args)
        samples = run.log_artifact(
            f"samples-{run.id}",
            "training_data",
            file_path=corpus.write_jsonl(written, scratch / "samples.jsonl"),
            parent_artifacts=[dataset.ref, base.ref],
        )
        parents = [base.ref, samples.ref]
    return run.log_artifact(
        model_name(run.id),
        "model",
        file_path=language_model.save(model, tokenizer, scratch / "model"),
        metadata={"mode": args.mode, "parameters": model.num_parameters()},
        parent_artifacts=parents,
    )


if __name__ == "__main__":
    main()
