"""A training job of four ranks that tells on stdout, unbuffered, what has been recorded.

python ranks.py      the launcher: opens the run, starts the ranks in it, trains with them
"""

import itertools
import os
import subprocess
import sys

from instrument import ExperimentContext, current_run, log_artifact, log_metrics

RANKS = 4


def tell(*words: object) -> None:
    os.write(1, " ".join(map(str, words)).encode() + b"\n")


def train(rank: int) -> None:
    run = current_run()
    assert run is not None
    tell("rank", rank, os.getpid(), run.id)
    for step in itertools.count():
        log_metrics({f"loss{rank}": 1.0 / (step + 1)}, step=step)
        tell("step", rank, step)
        if step % 400 == 100:
            version = log_artifact(f"shard{rank}", data={"step": step, "rank": rank})
            tell("artifact", version.ref, version.digest)


def main() -> None:
    if len(sys.argv) > 1:
        train(int(sys.argv[1]))
        return
    with ExperimentContext({"lr": 0.1}, name="ranks", capture_level=1):
        for rank in range(1, RANKS):
            environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": str(RANKS)}
            subprocess.Popen([sys.executable, __file__, str(rank)], env=environment)
        train(0)


if __name__ == "__main__":
    main()
