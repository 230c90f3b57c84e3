"""Which process records: who, where, with which rank, under which scheduler."""

import os
import sys
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Final

import instrument
from instrument.capture.launch import boot_id, place, process_start
from instrument.records import ProcessStarted
from instrument.redaction import printable, redact_command

_SCHEDULER: Final = (
    "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT",
    "SLURM_STEP_ID", "SLURM_JOB_NAME", "SLURM_JOB_PARTITION", "SLURM_CLUSTER_NAME",
    "SLURM_NODEID", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS", "SLURM_JOB_NODELIST",
    "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "RANK", "WORLD_SIZE", "LOCAL_RANK",
    "LOCAL_WORLD_SIZE", "GROUP_RANK", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
    "OMPI_COMM_WORLD_LOCAL_RANK", "PMI_RANK", "PMI_SIZE", "PBS_JOBID", "PBS_ARRAY_INDEX",
    "LSB_JOBID", "LSB_JOBINDEX", "JOB_ID", "SGE_TASK_ID",
)  # fmt: skip


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
    here = place()
    return ProcessStarted(
        run_id=run_id,
        attempt=attempt,
        rank=here.rank,
        world_size=here.world_size,
        owner=owner,
        writer_id=os.urandom(16).hex(),
        host=printable(os.uname().nodename),
        boot_id=boot_id(),
        pid=os.getpid(),
        process_start=_started(os.getpid()),
        command=redact_command(command) if command else this_command(),
        directory=_directory(),
        python=".".join(map(str, sys.version_info[:3])),
        user=_user(),
        recorder_version=instrument.__version__,
        scheduler=_scheduler(),
    )


def this_command() -> tuple[str, ...]:
    """The command line of this process, secrets removed."""
    return redact_command(sys.orig_argv)


def _scheduler() -> dict[str, str]:
    return {name: printable(os.environ[name]) for name in _SCHEDULER if name in os.environ}


def _directory() -> str | None:
    try:
        return printable(os.getcwd())  # noqa: PTH109 - a string is wanted
    except OSError:  # it was removed
        return None


def _user() -> str | None:
    name = os.environ.get("LOGNAME") or os.environ.get("USER")
    if name:
        return printable(name)
    return _user_of(os.getuid())


_started: Final = lru_cache(maxsize=1)(process_start)


@cache
def _user_of(uid: int) -> str | None:
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError, OSError):
        return None
