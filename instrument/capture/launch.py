"""The launch that this process is a rank of: ``torchrun``, ``srun``, ``mpirun`` and their kin.

A launcher starts one program many times, perhaps on many hosts. Its processes do not talk to one
another here: each derives the same key from what the launcher put into its environment. Launches
that follow one another may have the same key; launches at the same time never have.
"""

import hashlib
import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

_RANKS: Final = (
    # A launcher inside a job knows better than the job itself, so the order decides.
    ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"),  # torchrun, accelerate, DeepSpeed
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"),  # MPICH, Intel MPI
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_TASKS_PER_NODE"),  # inside `srun` only
)
_JOB: Final = (
    "SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "LSB_JOBINDEX", "JOB_ID",
    "SGE_TASK_ID",
)  # fmt: skip
_RESTARTS: Final = ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT")
_MPI: Final = ("PMIX_NAMESPACE", "PMI_JOBID", "OMPI_MCA_ess_base_jobid")
_MOST: Final = 2**31
_START_TIME_FIELD: Final = 19  # of /proc/PID/stat, counted after the command's name (proc(5): 22)


class Place(NamedTuple):
    """Where this process stands among those that do the same work.

    Attributes:
        rank: From 0.
        world_size: How many there are.
        local_size: How many of them are on this host; None where the launcher does not say.
    """

    rank: int
    world_size: int
    local_size: int | None = None


class Launch(NamedTuple):
    """A launch of several processes, as each of them sees it.

    Attributes:
        place: Which of its processes this is.
        attempt: Which try it is, from 1: launchers and schedulers start ranks again.
        label: What launched it: ``torchrun``, ``slurm``, ``mpi`` or ``launch``.
        key: What all its processes have in common, and no other launch has at the same time.
    """

    place: Place
    attempt: int
    label: str
    key: tuple[str, ...]

    def run_id(self, number: int) -> str:
        """Id of the `number`-th run of such launches, from 0."""
        text = "\0".join((self.label, *self.key, str(number)))
        return f"{self.label}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:16]}"


def place() -> Place:
    """Where this process stands as its launcher says; rank 0 of 1 when there is no launcher."""
    return next(filter(None, map(_place, _RANKS)), Place(0, 1))


def unusable() -> list[str]:
    """What launchers put into the environment that cannot be so, such as ``RANK='x'``."""
    odd = [
        name
        for rank_name, size_name, local_name in _RANKS
        if os.environ.get(rank_name) and os.environ.get(size_name)
        if _place((rank_name, size_name, local_name)) is None
        for name in (rank_name, size_name)
    ]
    odd += [name for name in _RESTARTS if os.environ.get(name) and _numbers((name,)) is None]
    return [f"{name}={os.environ[name]!r:.80}" for name in odd]


def launch() -> Launch | None:
    """The launch that this process is a rank of.

    None for a process on its own, and where the environment does not tell one launch from another
    at the same time.
    """
    here = place()
    if here.world_size == 1:
        return None
    found = _step() or _meeting() or _mpi() or _same_parent()
    if found is None:
        return None
    where = (boot_id() or os.uname().nodename) if here.local_size == here.world_size else ""
    return Launch(here, 1 + _restarts(), found[0], (where, *found[1:], *_job()))


def restarted_job() -> str | None:
    """Id of the job, where the scheduler has started it again (a requeue); else None."""
    job = os.environ.get("SLURM_JOB_ID")
    return job if job and (_numbers(("SLURM_RESTART_COUNT",)) or [0])[0] > 0 else None


def process_start(pid: int) -> int | None:
    """When `pid` started, in clock ticks since boot; None where the system does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        return int(stat.rpartition(b")")[2].split()[_START_TIME_FIELD])
    except (OSError, ValueError, IndexError):
        return None


def started_at() -> datetime | None:
    """When this process started, by the wall clock; None where the system does not say."""
    ticks = process_start(os.getpid())
    if ticks is None:
        return None
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return datetime.now(UTC) - timedelta(seconds=age)


@cache
def boot_id() -> str | None:
    """Identity of the host's last start; None where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, ValueError):
        return None


def _place(names: tuple[str, str, str]) -> Place | None:
    """What one launcher says, where it does."""
    numbers, local = _numbers(names[:2]), _numbers(names[2:])
    if numbers is None or numbers[0] >= numbers[1]:
        return None
    return Place(numbers[0], numbers[1], local[0] if local else None)


def _step() -> tuple[str, ...] | None:
    """The step of a SLURM job: each ``srun`` has a number of its own."""
    step = os.environ.get("SLURM_STEP_ID")
    return ("slurm", step) if step else None


def _meeting() -> tuple[str, ...] | None:
    """Where the ranks of PyTorch's launchers meet: no two launches can be there at once."""
    address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
    if not address or not port:
        return None
    return ("torchrun", os.environ.get("TORCHELASTIC_RUN_ID", ""), address, port)


def _mpi() -> tuple[str, ...] | None:
    given = [os.environ[name] for name in _MPI if os.environ.get(name)]
    return ("mpi", *given) if given else None


def _same_parent() -> tuple[str, ...] | None:
    """The process on this host that started the ranks."""
    started = process_start(os.getppid())
    return None if started is None else ("launch", str(os.getppid()), str(started))


def _job() -> tuple[str, ...]:
    """The job of the scheduler, or nothing."""
    return tuple(os.environ[name] for name in _JOB if os.environ.get(name))


def _restarts() -> int:
    counts = [_numbers((name,)) for name in _RESTARTS]
    return sum(count[0] for count in counts if count)


def _numbers(names: Iterable[str]) -> list[int] | None:
    """What they say; None where one is not set, or is no number of processes or starts."""
    try:
        numbers = [int(os.environ[name]) for name in names]
    except (KeyError, ValueError):
        return None
    return numbers if all(0 <= number < _MOST for number in numbers) else None
