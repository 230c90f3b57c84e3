"""Train and evaluate a classifier of handwritten digits, with everything about it recorded.

    python examples/quickstart.py

The instrumentation is the import, the decorators and the ``with`` block; the rest is ordinary
torch. Nothing here needs a network.
"""

from typing import Any, NamedTuple

import torch
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, confusion_matrix
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.optim import Optimizer

from instrument import ExperimentContext, checkpoint, log_metrics, reproducible, track_artifacts
from instrument.naming import dataset_name, evaluation_name

DATASET = dataset_name("digits", 1)
MODEL = "digits-classifier"
EVALUATION = evaluation_name(MODEL, "digits")


class Config(NamedTuple):
    """What the training depends on."""

    hidden: int = 64
    epochs: int = 8
    batch: int = 32
    learning_rate: float = 0.003


@reproducible(seed=42)
@track_artifacts(inputs=[DATASET], outputs=[MODEL])
def train(config: Config, images: Tensor, labels: Tensor) -> nn.Module:
    """A classifier of `images`, trained from nothing."""
    model: nn.Module = nn.Sequential(
        nn.Linear(64, config.hidden), nn.ReLU(), nn.Linear(config.hidden, 10)
    )
    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    for epoch in range(config.epochs):
        model, metrics = train_epoch(model, optimiser, images, labels, config.batch)
        log_metrics(metrics, step=epoch)
    return model


@checkpoint(metric="loss")
def train_epoch(
    model: nn.Module, optimiser: Optimizer, images: Tensor, labels: Tensor, batch: int
) -> tuple[nn.Module, dict[str, float]]:
    """One pass over the images in random order; returns the model and its mean loss."""
    losses = []
    for some in torch.randperm(len(images)).split(batch):
        loss = nn.functional.cross_entropy(model(images[some]), labels[some])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return model, {"loss": sum(losses) / len(losses)}


@track_artifacts(inputs=[DATASET, MODEL], outputs=[EVALUATION])
def evaluate(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Any]:
    """How often the model is right about images it has not seen, and what it takes for what."""
    with torch.no_grad():
        predicted = model(images).argmax(dim=1)
    accuracy = accuracy_score(labels, predicted)
    log_metrics({"accuracy": accuracy})
    return {"accuracy": accuracy, "confusion_matrix": confusion_matrix(labels, predicted).tolist()}


def main() -> None:
    """Load, train, evaluate."""
    config = Config()
    digits = load_digits()
    pixels = torch.tensor(digits.data / 16, dtype=torch.float32)
    images, unseen, labels, truth = train_test_split(
        pixels, torch.tensor(digits.target), test_size=0.25, random_state=0
    )
    with ExperimentContext(config._asdict(), name="quickstart", tags=["digits"]) as run:
        run.log_artifact(DATASET, "dataset", {"images": digits.data, "labels": digits.target})
        model = train(config, images, labels)
        result = evaluate(model, unseen, truth)
    print(f"{result['accuracy']:.1%} of {len(truth)} unseen digits recognised.\n")
    print("What was recorded:")
    print("  instrument runs show latest")
    print(f"  instrument lineage {EVALUATION}")
    print("  instrument verify")


if __name__ == "__main__":
    main()
