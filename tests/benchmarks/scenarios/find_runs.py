# mypy: disable-error-code="import-not-found,import-untyped,no-untyped-call"
"""Make COUNT runs, or find some of them in a fresh process: ``find_runs.py TRACKER make COUNT``.

``list`` shows the last 50; ``where`` those with lr == 0.1 and a loss below 0.2, 50 at most.
A thousand runs are recorded; more are copies of those, with their own ids: all else is the same.
"""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

STORE = Path(os.environ["BENCH_STORE"])
MOST = 50
RECORDED = 1000
COPIES = """WITH RECURSIVE copy(number) AS
  (SELECT 1 UNION ALL SELECT number + 1 FROM copy WHERE number < ?)"""


def values() -> Iterator[tuple[dict[str, float], float]]:
    """Parameters and loss of each run that is recorded."""
    for number in range(RECORDED):
        params = {f"param{n}": 0.1 * number for n in range(10)}
        yield {**params, "lr": (number % 7) / 10}, 0.05 + (number % 97) / 100


def bare(what: str, count: int) -> None:
    """The interpreter alone."""


def instrument(what: str, count: int) -> None:
    if what == "make":
        from instrument import ExperimentContext

        for params, loss in values():
            with ExperimentContext(params, name="bench", capture_level=1) as run:
                for step in range(20):
                    run.log_metrics({"loss": loss}, step=step)
        copy_directories(count // RECORDED)
        what = "list"  # so that the index is warm
    from instrument.cli.main import main

    where = ["--where", "params.lr==0.1 and metrics.loss<0.2"] if what == "where" else []
    sys.argv = ["instrument", "runs", "list", *where]
    main()


def copy_directories(times: int) -> None:
    """So many of each run. The seal says which run it is, and has a check of its own."""
    from instrument_local.stamps import stamp, unstamp

    for run in list((STORE / "instrument" / "runs").glob("*/*")):
        seal = unstamp((run / "run.json").read_bytes())
        others = [(file.name, file.read_bytes()) for file in run.glob("*.jsonl")]
        for number in range(1, times):
            copy = run.with_name(f"{run.name[:-6]}{number:06x}")
            copy.mkdir()
            new = seal.replace(run.name.encode(), copy.name.encode())
            (copy / "run.json").write_bytes(stamp(new))
            for name, data in others:
                (copy / name).write_bytes(data)


def mlflow_sqlite(what: str, count: int) -> None:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(f"sqlite:///{STORE}/mlflow.db")
    if what == "make":
        for params, loss in values():
            run_id = client.create_run("0").info.run_id
            metrics = [Metric("loss", loss, step, step) for step in range(20)]
            given = [Param(name, str(value)) for name, value in params.items()]
            client.log_batch(run_id, metrics=metrics, params=given)
            client.set_terminated(run_id)
        copy_rows(count // RECORDED)
        return
    where = "params.lr = '0.1' and metrics.loss < 0.2" if what == "where" else ""
    for run in client.search_runs(["0"], where, max_results=MOST):
        print(run.info.run_id, run.info.status, run.data.metrics)


def copy_rows(times: int) -> None:
    """So many of each run, in every table that has some of it."""
    new_id = "substr(run_uuid, 1, 26) || printf('%06x', number)"
    with sqlite3.connect(STORE / "mlflow.db") as database:
        for table in ("runs", "params", "metrics", "latest_metrics", "tags"):
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            values = ", ".join(new_id if name == "run_uuid" else f'"{name}"' for name in columns)
            into = f"INSERT INTO {table} SELECT {values} FROM {table}, copy"  # noqa: S608 - ours
            database.execute(f"{COPIES} {into}", (times - 1,))


def aim(what: str, count: int) -> None:
    from aim import Repo, Run

    if what == "make":
        for params, loss in values():
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
