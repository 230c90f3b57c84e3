"""A run that tells on stdout, unbuffered, what has been recorded: the victim of `test_kill`."""

import itertools
import os

from instrument import ExperimentContext

with ExperimentContext({"lr": 0.1}, name="victim") as run:
    os.write(1, f"run {run.id}\n".encode())
    for step in itertools.count():
        run.log_metrics({"loss": 1.0 / (step + 1)}, step=step)
        os.write(1, f"step {step}\n".encode())
        if step % 500 == 250:
            version = run.log_artifact("report", data={"step": step})
            os.write(1, f"artifact {version.ref} {version.digest}\n".encode())
