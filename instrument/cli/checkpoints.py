"""The checkpoints of a run, with the metrics that each was saved with."""

from collections.abc import Iterable
from typing import Final

from instrument.cli.words import value_text, visible
from instrument.naming import CHECKPOINTS
from instrument.protocols import Store
from instrument.records import CheckpointSaved
from instrument.summary import RunSummary

_MOST_OF_ABOUT: Final = 200


def checkpoints_of(store: Store, run: RunSummary) -> list[CheckpointSaved]:
    """What was saved, in order. Only the journals of a run that has such outputs are read."""
    if not any(ref.startswith(CHECKPOINTS) for ref in run.outputs):
        return []
    entries = store.entries(run.id)
    return [entry.record for entry in entries if isinstance(entry.record, CheckpointSaved)]


def about(saved: Iterable[CheckpointSaved]) -> dict[str, str]:
    """One line about each version: ``step 1, loss 0.4, best so far``; the last word counts."""
    return {each.ref: visible(", ".join(_facts(each)), _MOST_OF_ABOUT) for each in saved}


def _facts(saved: CheckpointSaved) -> Iterable[str]:
    if saved.step is not None:
        yield f"step {saved.step}"
    for name, value in saved.metrics.items():
        yield f"{name} {value_text(value)}"
    if saved.best:
        yield "best so far"
