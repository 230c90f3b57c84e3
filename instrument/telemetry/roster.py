"""Which probes this machine has."""

from collections.abc import Callable
from pathlib import Path

from instrument.telemetry.probes import Probe


def makers() -> dict[str, Callable[[], Probe]]:
    """The probes for this machine, by name; each is made when sampling begins."""
    from instrument.telemetry.gpus import GpuProbe

    if not Path("/proc/self/stat").exists():
        from instrument.telemetry.portable import PortableProbe

        return {"system": PortableProbe, "gpu": GpuProbe}
    from instrument.telemetry.host import HostProbe
    from instrument.telemetry.processes import ProcessProbe
    from instrument.telemetry.traffic import DiskProbe, NetworkProbe

    return {
        "processes": ProcessProbe,
        "host": HostProbe,
        "disk": DiskProbe,
        "network": NetworkProbe,
        "gpu": GpuProbe,
    }
