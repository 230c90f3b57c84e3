"""Decorators that put a function's calls on the record.

    @reproducible(name="sft", seed=42)
    @track_artifacts(inputs=["dataset:v1"], outputs=["model", "metrics"])
    def train(config):
        ...
        return model, metrics

They work on functions, methods, class- and static methods, coroutines, generators and async
generators, stack in any order, keep signature and type, and survive pickle and cloudpickle. With no
open run a call opens one; inside one it takes part. The user's values and exceptions come through
unchanged. With ``INSTRUMENT_MODE=disabled`` a call goes straight through; seeds
that were asked for are set all the same.
"""

from instrument.decorators.checkpoints import checkpoint
from instrument.decorators.reproduce import reproducible
from instrument.decorators.tracking import track_artifacts

__all__ = ["checkpoint", "reproducible", "track_artifacts"]
