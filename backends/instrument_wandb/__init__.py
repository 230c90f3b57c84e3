"""Repeats runs in Weights & Biases, through its own SDK (wandb 0.30 or later).

What goes where:

| record                   | in W&B                                                        |
|--------------------------|---------------------------------------------------------------|
| the run                  | run with the same id; name, project, tags                     |
| params                   | config, under the same names                                  |
| metrics                  | history, at the same step (see `instrument_wandb.history`)    |
| artifact_logged          | artifact with our SHA-256 in its metadata; offline not copied |
| artifact_used            | config `instrument.inputs`                                    |
| code, environment, seeds | config `instrument.git`, `instrument.environment`, `.seeds`   |
| telemetry_summarised     | summary `instrument.telemetry`                                |
| exception, run_finished  | exit code, summary `instrument.exception`, `instrument.state` |
| problem, records_lost    | summary `instrument.problems`                                 |
"""

from pathlib import Path

from instrument_wandb.mirror import WandbMirror

__all__ = ["WandbMirror", "open_mirror"]


def open_mirror(*, offline: bool, directory: Path | None = None) -> WandbMirror:
    """The W&B mirror; nothing is imported or contacted before its first run.

    Args:
        offline: Not one network system call, whatever WANDB_MODE says. Otherwise W&B's own
            settings decide (WANDB_MODE, ``wandb offline``).
        directory: Where W&B's own files go, unless the user has set WANDB_DIR.
    """
    return WandbMirror(offline=offline, directory=directory)
