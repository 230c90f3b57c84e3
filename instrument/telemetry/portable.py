"""The machine through psutil, where there is no /proc."""

import psutil

from instrument.telemetry.probes import Rate, without_none


class PortableProbe:
    """Process tree, processors, memory, disks and networks in one."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._rates = {name: Rate() for name in ("own", "read", "written", "received", "sent")}
        psutil.cpu_percent()  # the first answer of all is meaningless

    def read(self, seconds: float) -> dict[str, float]:
        """See `instrument.telemetry.probes.Probe`."""
        own_seconds = sum(self._process.cpu_times()[:2])
        memory = psutil.virtual_memory()
        disk = psutil.disk_io_counters()
        network = psutil.net_io_counters()
        counters = {
            "disk.read_bytes_per_second": ("read", disk.read_bytes if disk else None),
            "disk.written_bytes_per_second": ("written", disk.write_bytes if disk else None),
            "network.received_bytes_per_second": ("received", network.bytes_recv),
            "network.sent_bytes_per_second": ("sent", network.bytes_sent),
            "process.cpu_percent": ("own", own_seconds * 100),
        }
        readings: dict[str, float | None] = {
            name: self._rates[rate].per_second(count, seconds) if count is not None else None
            for name, (rate, count) in counters.items()
        }
        readings["process.memory_bytes"] = self._process.memory_info().rss
        readings["host.cpu_percent"] = psutil.cpu_percent()
        readings["host.memory_used_bytes"] = memory.total - memory.available
        readings["host.memory_available_bytes"] = memory.available
        return without_none(readings) | self._tree()

    def close(self) -> None:
        """Nothing is held."""

    def _tree(self) -> dict[str, float]:
        memory = self._process.memory_info().rss
        children = self._process.children(recursive=True)
        for child in children:
            try:
                memory += child.memory_info().rss
            except psutil.Error:
                continue  # it ended meanwhile
        return {"tree.memory_bytes": memory, "tree.processes": len(children) + 1}
