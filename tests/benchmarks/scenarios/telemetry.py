"""An idle run with its telemetry on or off, until standard input closes: ``telemetry.py KIND``."""

import sys
import time

from benchmarks.scenarios.tell import tell_now
from benchmarks.scenarios.trackers import Log, bare, instrument_basic, wandb

SETTLED_SECONDS = 3


def idle(log: Log) -> None:
    time.sleep(SETTLED_SECONDS)
    tell_now("settled")
    sys.stdin.read()


KINDS = {
    "bare": lambda: bare({}, idle),
    "wandb_off": lambda: wandb({}, idle, x_disable_stats=True),
    "wandb_15_s": lambda: wandb({}, idle),
    "wandb_1_s": lambda: wandb({}, idle, x_stats_sampling_interval=1),
    "instrument_off": lambda: instrument_basic({}, idle, monitor_hardware=False),
    "instrument_1_s": lambda: instrument_basic({}, idle),
}

if __name__ == "__main__":
    KINDS[sys.argv[1]]()
