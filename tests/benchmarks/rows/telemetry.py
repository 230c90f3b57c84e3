"""What watching the hardware costs an idle process. All entrants are watched at the same time."""

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.launch import Launched, LaunchError, reap_orphans
from benchmarks.row import Entrant, Numbers, Row, Target
from benchmarks.workplace import Workplace

_STUB = Path(__file__).parents[2] / "capture" / "nvml_stub.c"
_SECONDS = 30
_SAMPLES_A_MINUTE = {"_1_s": 60, "_10_s": 6, "_15_s": 4, "_8_gpus": 60}


def _measure(place: Workplace, entrants: Sequence[Entrant]) -> dict[str, Numbers]:
    _build_stub_gpus(place.directory / "nvml")
    running = {e.label: place.start(e.environment, "telemetry", e.label) for e in entrants}
    _wait_until_settled(list(running.values()))
    before = {label: _cpu_seconds(launched) for label, launched in running.items()}
    time.sleep(_SECONDS)
    used = {label: _cpu_seconds(launched) - before[label] for label, launched in running.items()}
    failed = {label for label, launched in running.items() if not _has_ended_well(launched)}
    for _ in reap_orphans():
        pass
    return _numbers({k: cpu * 60 / _SECONDS for k, cpu in used.items() if k not in failed})


def _build_stub_gpus(directory: Path) -> None:
    """NVML as it looks beside GPUs; without a compiler there are none, and 8 are as 0."""
    directory.mkdir(exist_ok=True)
    if compiler := shutil.which("gcc"):
        library = directory / "libnvidia-ml.so.1"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, _STUB], check=True)
    else:
        print("\nno gcc: the stub GPUs are missing", file=sys.stderr)


def _has_ended_well(launched: Launched) -> bool:
    try:
        launched.end()
    except LaunchError as error:
        print(f"\nfailed: {error}", file=sys.stderr)
        return False
    return True


def _numbers(a_minute: dict[str, float]) -> dict[str, Numbers]:
    """Of each entrant also what one sample costs: what is more than without telemetry."""
    found = {}
    for label, cpu in a_minute.items():
        found[label] = {"cpu_s_a_minute": cpu, "cpu_s_an_hour": cpu * 60, "ms_a_sample": 0.0}
        without = a_minute.get(f"{label.partition('_')[0]}_off")
        samples = next((n for end, n in _SAMPLES_A_MINUTE.items() if label.endswith(end)), None)
        if without is not None and samples is not None:
            found[label]["ms_a_sample"] = max(0.0, cpu - without) / samples * 1000
    return found


def _wait_until_settled(running: Sequence[Launched]) -> None:
    while not all("settled" in launched.told() or launched.has_ended() for launched in running):
        time.sleep(0.05)


def _cpu_seconds(launched: Launched) -> float:
    return sum(_process_cpu_seconds(pid) for pid in launched.tree())


def _process_cpu_seconds(pid: int) -> float:
    """CPU time of a process, exact: its own clock, numbered as clock_getcpuclockid(3) does."""
    cpu_clock = (~pid << 3) | 2
    return time.clock_gettime(cpu_clock)


ROW = Row(
    name="telemetry",
    title="Telemetry of an idle run, whole process tree, watched for 30 s",
    entrants=(
        Entrant("bare", "floor"),
        Entrant("wandb_off", "wandb"),
        Entrant("wandb_15_s", "wandb"),
        Entrant("wandb_1_s", "wandb"),
        Entrant("mlflow_off", "mlflow"),
        Entrant("mlflow_10_s", "mlflow"),
        Entrant("mlflow_1_s", "mlflow"),
        Entrant("instrument_off", "instrument"),
        Entrant("instrument_1_s", "instrument"),
        Entrant("instrument_8_gpus", "instrument"),
    ),
    columns={
        "cpu_s_a_minute": "CPU s a minute",
        "cpu_s_an_hour": "CPU s an hour",
        "ms_a_sample": "CPU ms a sample",
    },
    targets=(
        Target("cpu_s_a_minute", "instrument_1_s", 0.06),
        Target("cpu_s_a_minute", "instrument_1_s", 1, "wandb_15_s"),
        Target("cpu_s_a_minute", "instrument_1_s", 1, "wandb_1_s"),
        Target("cpu_s_a_minute", "instrument_8_gpus", 0.15),
        Target("ms_a_sample", "instrument_1_s", 1, "wandb_1_s"),
        Target("ms_a_sample", "instrument_1_s", 1, "mlflow_1_s"),
    ),
    measure=_measure,
    warm_up=False,
    most_rounds=2,
)
