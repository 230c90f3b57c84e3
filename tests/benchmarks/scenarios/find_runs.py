# mypy: disable-error-code="import-not-found,import-untyped,no-untyped-call"
"""Make COUNT runs, or find some of them in a fresh process: ``find_runs.py TRACKER make COUNT``.

``list`` shows the last 50; ``where`` those with lr == 0.1 and a loss below 0.2, 50 at most.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

STORE = Path(os.environ["BENCH_STORE"])
MOST = 50


def values(count: int) -> Iterator[tuple[dict[str, float], float]]:
    """Parameters and loss of each run."""
    for number in range(count):
        params = {f"param{n}": 0.1 * number for n in range(10)}
        yield {**params, "lr": (number % 7) / 10}, 0.05 + (number % 97) / 100


def bare(what: str, count: int) -> None:
    """The interpreter alone."""


def instrument(what: str, count: int) -> None:
    if what == "make":
        from instrument import ExperimentContext

        os.fsync = os.fdatasync = lambda fd: None  # only read later
        for params, loss in values(count):
            with ExperimentContext(params, name="bench", capture_level=1) as run:
                for step in range(20):
                    run.log_metrics({"loss": loss}, step=step)
        what = "list"  # so that the index is warm
    from instrument.cli.main import main

    where = ["--where", "params.lr==0.1 and metrics.loss<0.2"] if what == "where" else []
    sys.argv = ["instrument", "runs", "list", *where]
    main()


def mlflow_sqlite(what: str, count: int) -> None:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(f"sqlite:///{STORE}/mlflow.db")
    if what == "make":
        for params, loss in values(count):
            run_id = client.create_run("0").info.run_id
            metrics = [Metric("loss", loss, step, step) for step in range(20)]
            given = [Param(name, str(value)) for name, value in params.items()]
            client.log_batch(run_id, metrics=metrics, params=given)
            client.set_terminated(run_id)
        return
    where = "params.lr = '0.1' and metrics.loss < 0.2" if what == "where" else ""
    for run in client.search_runs(["0"], where, max_results=MOST):
        print(run.info.run_id, run.info.status, run.data.metrics)


def aim(what: str, count: int) -> None:
    from aim import Repo, Run

    if what == "make":
        for params, loss in values(count):
            run = Run(repo=str(STORE), system_tracking_interval=None, capture_terminal_logs=False)
            run["hparams"] = params
            for step in range(20):
                run.track(loss, name="loss", step=step)
            run.close()
        aim_command = Path(sys.executable).with_name("aim")  # without its index it finds nothing
        command = [str(aim_command), "storage", "--repo", str(STORE), "reindex", "--yes"]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        return
    where = "run.hparams.lr == 0.1 and run.metrics['loss'].last < 0.2" if what == "where" else ""
    found = Repo.from_path(str(STORE)).query_runs(where, report_mode=0)
    for number, runs in enumerate(found.iter_runs()):
        print(runs.run.hash, runs.run.name)
        if number == MOST:
            break


if __name__ == "__main__":
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    TRACKERS = {each.__name__: each for each in (bare, instrument, mlflow_sqlite, aim)}
    TRACKERS[sys.argv[1]](sys.argv[2], count)
