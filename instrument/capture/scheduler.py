"""What a scheduler or launcher gave to the job: its size, its queue, its share of each node.

Ids of jobs, tasks and ranks stand in the record ``process_started``: they differ from run to run.
"""

import os
from collections.abc import Mapping
from typing import Any, Final

from instrument.redaction import printable, redact_text

_SYSTEMS: Final[dict[str, tuple[tuple[str, ...], dict[str, str]]]] = {
    # name: (one of these variables is a sign of it, field: variable)
    "slurm": (
        ("SLURM_JOB_ID",),
        {
            "cluster": "SLURM_CLUSTER_NAME",
            "partition": "SLURM_JOB_PARTITION",
            "account": "SLURM_JOB_ACCOUNT",
            "qos": "SLURM_JOB_QOS",
            "nodes": "SLURM_JOB_NUM_NODES",
            "tasks": "SLURM_NTASKS",
            "tasks_per_node": "SLURM_TASKS_PER_NODE",
            "cpus_per_task": "SLURM_CPUS_PER_TASK",
            "cpus_on_node": "SLURM_CPUS_ON_NODE",
            "gpus": "SLURM_GPUS",
            "gpus_on_node": "SLURM_GPUS_ON_NODE",
            "gpus_per_node": "SLURM_GPUS_PER_NODE",
            "memory_per_node_mib": "SLURM_MEM_PER_NODE",
            "memory_per_cpu_mib": "SLURM_MEM_PER_CPU",
            "array_tasks": "SLURM_ARRAY_TASK_COUNT",
        },
    ),
    "pbs": (
        ("PBS_JOBID",),
        {
            "queue": "PBS_QUEUE",
            "account": "PBS_ACCOUNT",
            "nodes": "PBS_NUM_NODES",
            "processors_per_node": "PBS_NUM_PPN",
            "processors": "PBS_NP",
        },
    ),
    "lsf": (
        ("LSB_JOBID",),
        {
            "queue": "LSB_QUEUE",
            "project": "LSB_PROJECT_NAME",
            "processors": "LSB_DJOB_NUMPROC",
            "processors_by_host": "LSB_MCPU_HOSTS",
            "requirements": "LSB_EFFECTIVE_RSRCREQ",
        },
    ),
    "grid_engine": (
        ("SGE_TASK_ID",),
        {"queue": "QUEUE", "slots": "NSLOTS", "hosts": "NHOSTS", "parallel_environment": "PE"},
    ),
    "ray": (
        ("RAY_JOB_ID", "RAY_ADDRESS", "RAY_RAYLET_PID"),
        {"address": "RAY_ADDRESS"},
    ),
    "torchrun": (
        ("TORCHELASTIC_RUN_ID",),
        {
            "processes": "WORLD_SIZE",
            "processes_on_node": "LOCAL_WORLD_SIZE",
            "groups": "GROUP_WORLD_SIZE",
            "max_restarts": "TORCHELASTIC_MAX_RESTARTS",
        },
    ),
    "open_mpi": (
        ("OMPI_COMM_WORLD_SIZE",),
        {
            "version": "OMPI_VERSION",
            "processes": "OMPI_COMM_WORLD_SIZE",
            "processes_on_node": "OMPI_COMM_WORLD_LOCAL_SIZE",
        },
    ),
    "mpich": (
        ("PMI_SIZE",),
        {"processes": "PMI_SIZE", "processes_on_node": "MPI_LOCALNRANKS"},
    ),
}


def scheduler(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Fields by the name of each scheduler or launcher around this process; usually none or two.

    A field that was not given is left out. Whole numbers are numbers.

    Args:
        environment: The variables to look at.
    """
    return {
        name: {
            field: _value(environment[variable])
            for field, variable in fields.items()
            if environment.get(variable)
        }
        for name, (signs, fields) in _SYSTEMS.items()
        if any(environment.get(sign) for sign in signs)
    }


def _value(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else redact_text(printable(text))
