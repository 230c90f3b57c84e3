"""Three runs one after another that share workers: ``reused_workers.py HOW early|late``.

Prints, as JSON, for each run its id and the ids that its tasks saw, and what a task saw that came
when no run was open.
"""

import concurrent.futures
import json
import multiprocessing
import sys
from collections.abc import Callable, Iterable
from typing import Any

from instrument import ExperimentContext, current_run, log_metrics


def task(number: int) -> str | None:
    log_metrics({f"task_{number}": number})
    run = current_run()
    return run.id if run is not None else None


def workers(how: str) -> Callable[[Iterable[int]], list[Any]]:
    if how == "joblib":
        import joblib

        return lambda numbers: joblib.Parallel(n_jobs=2)(
            joblib.delayed(task)(number) for number in numbers
        )
    pool = concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(how))
    return lambda numbers: list(pool.map(task, numbers))


def main(how: str, begun: str) -> None:
    work = workers(how)
    told: dict[str, Any] = {"runs": []}
    if begun == "early":
        try:
            work([0])
        except ValueError as error:
            told["early"] = str(error)
    for number in range(3):
        with ExperimentContext(
            name=f"run {number}",
            monitor_hardware=False,
            capture_level=1,  # a slow machine may have no time for more, and a run says so
        ) as run:
            told["runs"].append([run.id, work([10 * number, 10 * number + 1])])
    try:
        told["late"] = work([99])
    except ValueError as error:
        told["late"] = str(error)
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
