# mypy: disable-error-code="import-not-found,import-untyped,no-untyped-call,untyped-decorator"
"""A decorated function that does nothing, called COUNT times: ``decorated_call.py KIND COUNT``."""

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.scenarios.latency import time_batches

Noop = Callable[[int, int], None]
Go = Callable[[Noop], None]


def noop(a: int, b: int) -> None:
    """What is decorated."""


def plain(go: Go) -> None:
    go(noop)


def closure(go: Go) -> None:
    @functools.wraps(noop)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        return noop(*args, **kwargs)

    go(wrapper)


def wrapt(go: Go) -> None:
    import wrapt

    @wrapt.decorator
    def transparent(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        return wrapped(*args, **kwargs)

    go(transparent(noop))


def sacred_capture(go: Go) -> None:
    from sacred import Experiment

    experiment = Experiment("bench")
    experiment.add_config(a=1, b=2)
    captured = experiment.capture(noop)
    experiment.main(lambda: go(captured))
    experiment.run()


def mlflow_trace(go: Go) -> None:
    import mlflow

    mlflow.set_tracking_uri(f"file:{os.environ['BENCH_STORE']}/mlruns")
    go(mlflow.trace(noop))


def instrument_disabled(go: Go) -> None:
    os.environ["INSTRUMENT_MODE"] = "disabled"
    from instrument import reproducible

    go(reproducible(noop))


def instrument_recorded(go: Go) -> None:
    from instrument import ExperimentContext, reproducible

    with ExperimentContext(name="bench", capture_level=1):
        go(reproducible(noop))


KINDS = {
    kind.__name__: kind
    for kind in (
        plain,
        closure,
        wrapt,
        sacred_capture,
        mlflow_trace,
        instrument_disabled,
        instrument_recorded,
    )
}

if __name__ == "__main__":
    KINDS[sys.argv[1]](lambda call: time_batches(call, int(sys.argv[2])))
    if sys.argv[1] == "mlflow_trace":
        os._exit(0)  # it would drain its queue for as long again as the calls took, many times over
