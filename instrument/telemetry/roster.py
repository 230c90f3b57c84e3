"""Which probes this machine has, and which of them this process is to use."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from instrument.telemetry.probes import Probe, ProbeUnavailable

_LOCAL_RANKS: Final = (
    "LOCAL_RANK",  # torchrun, accelerate, DeepSpeed
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
    "MV2_COMM_WORLD_LOCAL_RANK",
    "SLURM_LOCALID",
)
Make: TypeAlias = Callable[[], Mapping[str, Probe]]
Problem: TypeAlias = Callable[[str, BaseException], None]


def is_first_on_node() -> bool:
    """Whether this process is the one that watches its node for all ranks there.

    The innermost launcher is asked first: it knows better than the job that it runs in.
    """
    ranks = (os.environ.get(name) for name in _LOCAL_RANKS)
    return next((rank for rank in ranks if rank), "0") == "0"


def make_probes(
    *, whole_node: bool, problem: Problem, note: Callable[[str], object]
) -> dict[str, Probe]:
    """The probes for this machine, by name.

    Args:
        whole_node: Whether to read the host and the GPUs too, or this process alone.
        problem: Is told which could not be made, and why.
        note: Is told what they leave out.
    """
    probes: dict[str, Probe] = {}
    for name, make in makers(whole_node=whole_node, note=note).items():
        try:
            probes |= make()
        except ProbeUnavailable:
            continue
        except Exception as error:
            problem(f"start the {name} probe", error)
    return probes


def makers(*, whole_node: bool, note: Callable[[str], object]) -> dict[str, Make]:
    """How the probes are made: each maker by itself, for one may fail."""
    from instrument.telemetry.torch import TorchProbe

    own: dict[str, Make] = {"torch": lambda: {"torch": TorchProbe()}}
    if Path("/proc/self/stat").exists():
        return own | _linux(whole_node=whole_node, note=note)
    from instrument.telemetry.portable import PortableProbe

    return own | {"system": lambda: {"system": PortableProbe()}}


def _linux(*, whole_node: bool, note: Callable[[str], object]) -> dict[str, Make]:
    from instrument.telemetry.processes import ProcessProbe
    from instrument.telemetry.traffic import DiskProbe, NetworkProbe, OwnDiskProbe

    processes = ProcessProbe(tree=whole_node)
    own: dict[str, Make] = {
        "processes": lambda: {"processes": processes},
        "own disk": lambda: {"own disk": OwnDiskProbe()},
    }
    if not whole_node:
        return own
    from instrument.telemetry.amd import amd_probes
    from instrument.telemetry.energy import PackageEnergyProbe
    from instrument.telemetry.gpus import gpu_probes
    from instrument.telemetry.groups import GroupProbe
    from instrument.telemetry.host import HostProbe

    return own | {
        "host": lambda: {"host": HostProbe()},
        "cgroup": lambda: {"cgroup": GroupProbe()},
        "disk": lambda: {"disk": DiskProbe()},
        "network": lambda: {"network": NetworkProbe()},
        "energy": lambda: {"energy": PackageEnergyProbe()},
        "gpu": lambda: gpu_probes(processes.pids, note),
        "amd": lambda: amd_probes(note),
    }
