"""What every rank of a launch runs: two runs one after the other, the first with one inside it.

With ``watched`` a third one, that lasts until the hardware has been sampled in this rank.
"""

import os
import sys
import time

from ranks.watched_nodes import watching

from instrument import ExperimentContext

names = ("RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")
rank = next((int(os.environ[name]) for name in names if name in os.environ), 0)
with ExperimentContext({"lr": 0.1}, name="first", capture_level=1, monitor_hardware=False) as run:
    run.log_metrics({f"loss_of_rank_{rank}": float(rank)}, step=0)
    print("first", run.id, flush=True)
    with ExperimentContext(name="inner", capture_level=1, monitor_hardware=False) as inner:
        inner.log_metrics({f"inner_of_rank_{rank}": 1.0}, step=0)
    if "fail-once" in sys.argv and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" and rank == 1:
        raise RuntimeError("the first try of rank 1 fails")
with ExperimentContext(name="second", capture_level=1, monitor_hardware=False) as run:
    run.log_metrics({f"second_of_rank_{rank}": 1.0}, step=0)
if "watched" in sys.argv:
    with ExperimentContext(name="watched", capture_level=1) as run:
        assert run.store is not None
        while rank not in watching(run.store, run.id)[1]:
            time.sleep(0.2)
