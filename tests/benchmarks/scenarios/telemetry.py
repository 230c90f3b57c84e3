"""An idle run with its telemetry on or off, until standard input closes: ``telemetry.py KIND``."""

import os
import sys
import time
from collections.abc import Callable

from benchmarks.scenarios.tell import tell_now
from benchmarks.scenarios.trackers import STORE, Log, bare, instrument_basic, mlflow_file, wandb

SETTLED_SECONDS = 3


def idle(log: Log) -> None:
    time.sleep(SETTLED_SECONDS)
    tell_now("settled")
    sys.stdin.read()


def mlflow_monitor(seconds: int | None) -> None:
    if seconds is not None:
        import mlflow

        mlflow.enable_system_metrics_logging()
        mlflow.set_system_metrics_sampling_interval(seconds)
    mlflow_file({}, idle)


def beside_8_gpus() -> None:
    """Ours beside eight stub GPUs: the dynamic linker looks for NVML where it was told first."""
    if "STUB_GPUS" not in os.environ:
        library = STORE.parents[2] / "nvml"
        told = {"STUB_GPUS": "8", "LD_LIBRARY_PATH": str(library)}
        os.execve(sys.executable, sys.orig_argv, {**os.environ, **told})  # noqa: S606 - once more
    instrument_basic({}, idle)


KINDS: dict[str, Callable[[], None]] = {
    "bare": lambda: bare({}, idle),
    "wandb_off": lambda: wandb({}, idle, x_disable_stats=True),
    "wandb_15_s": lambda: wandb({}, idle),
    "wandb_1_s": lambda: wandb({}, idle, x_stats_sampling_interval=1),
    "instrument_off": lambda: instrument_basic({}, idle, monitor_hardware=False),
    "instrument_1_s": lambda: instrument_basic({}, idle),
    "instrument_8_gpus": beside_8_gpus,
    "mlflow_off": lambda: mlflow_monitor(None),
    "mlflow_10_s": lambda: mlflow_monitor(10),
    "mlflow_1_s": lambda: mlflow_monitor(1),
}

if __name__ == "__main__":
    KINDS[sys.argv[1]]()
