# mypy: disable-error-code="import-not-found,import-untyped,no-untyped-call,untyped-decorator"
"""Every tracker's way to do the same work: open a run, hand over how to log, close it.

Each function is called as ``tracker(params, body)`` and calls ``body(log)`` inside its run.
Defaults are kept, except that nothing may leave the machine. Its store lies in ``BENCH_STORE``.
"""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

STORE = Path(os.environ["BENCH_STORE"])


class Log(NamedTuple):
    """How to log inside the open run.

    Attributes:
        metric: Called with a step and the loss.
        artifact: Called with the path of a file or of a directory.
    """

    metric: Callable[[int, float], object]
    artifact: Callable[[Path], object] | None = None


Params = dict[str, Any]
Body = Callable[[Log], object]


def bare(params: Params, body: Body) -> None:
    """No tracker at all."""
    body(Log(lambda step, loss: None))


def sacred(params: Params, body: Body) -> None:
    _sacred_body[:] = [body]
    _sacred_experiment(tuple(params)).run(config_updates=params)


_sacred_body: list[Body] = []


@cache
def _sacred_experiment(names: tuple[str, ...]) -> Any:
    """One experiment for all runs of this process, as its users have it."""
    from sacred import Experiment
    from sacred.observers import FileStorageObserver

    experiment = Experiment("bench")
    experiment.observers.append(FileStorageObserver(STORE / "sacred"))
    experiment.add_config(dict.fromkeys(names, 0.5))

    @experiment.main
    def main(_run: Any) -> None:
        metric = lambda step, loss: _run.log_scalar("loss", loss, step)  # noqa: E731 - as the others
        _sacred_body[0](Log(metric, _sacred_artifact(_run)))

    return experiment


def _sacred_artifact(run: Any) -> Callable[[Path], None]:
    """Sacred takes files only: a tree goes file by file."""

    def artifact(path: Path) -> None:
        for file in path.rglob("*.bin") if path.is_dir() else [path]:
            run.add_artifact(file)

    return artifact


def wandb(params: Params, body: Body, **settings: Any) -> None:
    import wandb

    def artifact(path: Path) -> None:
        version = wandb.Artifact("data", type="dataset")
        (version.add_dir if path.is_dir() else version.add_file)(str(path))
        run.log_artifact(version)

    given = wandb.Settings(**settings)
    with wandb.init(project="bench", config=params, dir=STORE, settings=given) as run:
        body(Log(lambda step, loss: run.log({"loss": loss}, step=step), artifact))


def mlflow_file(params: Params, body: Body) -> None:
    _mlflow(f"file:{STORE}/mlruns", params, body)


def mlflow_sqlite(params: Params, body: Body) -> None:
    _mlflow(f"sqlite:///{STORE}/mlflow.db", params, body)


def _mlflow(uri: str, params: Params, body: Body) -> None:
    import mlflow

    def artifact(path: Path) -> None:
        (mlflow.log_artifacts if path.is_dir() else mlflow.log_artifact)(str(path))

    mlflow.set_tracking_uri(uri)
    with mlflow.start_run():
        mlflow.log_params(params)
        body(Log(lambda step, loss: mlflow.log_metric("loss", loss, step=step), artifact))


def trackio(params: Params, body: Body) -> None:
    import trackio

    run = trackio.init(project="bench", config=params, embed=False)
    body(Log(lambda step, loss: trackio.log({"loss": loss}, step=step), run.log_artifact))
    trackio.finish()


def dvclive(params: Params, body: Body) -> None:
    from dvclive import Live

    with Live(str(STORE / "dvclive"), save_dvc_exp=False, dvcyaml=None, report=None) as live:

        def metric(step: int, loss: float) -> None:
            live.step = step
            live.log_metric("loss", loss)

        live.log_params(params)
        body(Log(metric))


def instrument_basic(params: Params, body: Body, **options: Any) -> None:
    _instrument(params, body, capture_level=1, **options)


def instrument_standard(params: Params, body: Body) -> None:
    _instrument(params, body, capture_level=2)


def instrument_complete(params: Params, body: Body) -> None:
    _instrument(params, body, capture_level=3)


def _instrument(params: Params, body: Body, **options: Any) -> None:
    from instrument import ExperimentContext

    with ExperimentContext(config=params, name="bench", **options) as run:
        body(
            Log(
                lambda step, loss: run.log_metrics({"loss": loss}, step=step),
                lambda path: run.log_artifact("data", type="dataset", file_path=path),
            )
        )


TRACKERS: dict[str, Callable[[Params, Body], None]] = {
    tracker.__name__: tracker
    for tracker in (
        bare,
        sacred,
        wandb,
        mlflow_file,
        mlflow_sqlite,
        trackio,
        dvclive,
        instrument_basic,
        instrument_standard,
        instrument_complete,
    )
}
