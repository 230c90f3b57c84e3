"""Which process records: who, where, with which rank, under which scheduler."""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import instrument
from instrument.records import ProcessStarted
from instrument.redaction import printable, redact_command

_RANKS: Final = (
    # A launcher inside a job knows better than the job itself, so the order decides.
    ("RANK", "WORLD_SIZE"),  # torchrun, accelerate, DeepSpeed
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),  # the second one exists inside `srun` only
)
_SCHEDULER: Final = (
    "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT",
    "SLURM_STEP_ID", "SLURM_JOB_NAME", "SLURM_JOB_PARTITION", "SLURM_CLUSTER_NAME",
    "SLURM_NODEID", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS", "SLURM_JOB_NODELIST",
    "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "RANK", "WORLD_SIZE", "LOCAL_RANK",
    "LOCAL_WORLD_SIZE", "GROUP_RANK", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
    "OMPI_COMM_WORLD_LOCAL_RANK", "PMI_RANK", "PMI_SIZE", "PBS_JOBID", "PBS_ARRAY_INDEX",
    "LSB_JOBID", "LSB_JOBINDEX", "JOB_ID", "SGE_TASK_ID",
)  # fmt: skip
_START_TIME_FIELD: Final = 19  # of /proc/PID/stat, counted after the command's name (proc(5): 22)


class Place(NamedTuple):
    """Where this process stands among those that do the same work.

    Attributes:
        rank: From 0.
        world_size: How many there are.
    """

    rank: int
    world_size: int


def process_started(
    *, run_id: str, attempt: int, owner: bool, command: Sequence[str] | None = None
) -> ProcessStarted:
    """The first record of this process's journal.

    Args:
        run_id: The run it takes part in.
        attempt: Which try of the run this is, from 1.
        owner: Whether it starts and finishes the run.
        command: The command that it records; by default its own command line.
    """
    place = _place()
    return ProcessStarted(
        run_id=run_id,
        attempt=attempt,
        rank=place.rank,
        world_size=place.world_size,
        owner=owner,
        writer_id=os.urandom(16).hex(),
        host=printable(os.uname().nodename),
        boot_id=_boot_id(),
        pid=os.getpid(),
        process_start=process_start(os.getpid()),
        command=redact_command(command or sys.orig_argv),
        directory=_directory(),
        python=".".join(map(str, sys.version_info[:3])),
        user=_user(),
        recorder_version=instrument.__version__,
        scheduler=_scheduler(),
    )


def rank() -> int:
    """Rank of this process as its launcher says; 0 when there is one process."""
    return _place().rank


def process_start(pid: int) -> int | None:
    """When `pid` started, in clock ticks since boot; None where the system does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        return int(stat.rpartition(b")")[2].split()[_START_TIME_FIELD])
    except (OSError, ValueError, IndexError):
        return None


def _place() -> Place:
    for rank_name, size_name in _RANKS:
        place = _numbers((rank_name, size_name))
        if place is not None and 0 <= place.rank < place.world_size:
            return place
    return Place(0, 1)


def _numbers(names: Iterable[str]) -> Place | None:
    try:
        return Place(*(int(os.environ[name]) for name in names))
    except (KeyError, ValueError):
        return None


def _scheduler() -> dict[str, str]:
    return {name: printable(os.environ[name]) for name in _SCHEDULER if name in os.environ}


def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, ValueError):
        return None


def _directory() -> str | None:
    try:
        return printable(os.getcwd())  # noqa: PTH109 - a string is wanted
    except OSError:  # it was removed
        return None


def _user() -> str | None:
    name = os.environ.get("LOGNAME") or os.environ.get("USER")
    if name:
        return printable(name)
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError, OSError):
        return None
