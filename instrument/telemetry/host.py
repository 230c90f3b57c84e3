"""The whole machine: processors and memory (proc_stat(5), proc_meminfo(5))."""

from typing import Final

from instrument.telemetry.probes import File

_KIB: Final = 1024
_IDLE, _WAITING = 3, 4  # columns of the line "cpu"
_COLUMNS: Final = 8  # what comes after counts guests, which `user` counts already


class HostProbe:
    """Share of all processors in use, and memory in use."""

    def __init__(self) -> None:
        self._stat = File("/proc/stat", 256)
        self._memory = File("/proc/meminfo", 1024)
        self._before: tuple[int, int] | None = None

    def read(self, seconds: float) -> dict[str, float]:  # noqa: ARG002 - ticks are its own clock
        """See `instrument.telemetry.probes.Probe`."""
        return self._read_memory() | self._read_cpu()

    def close(self) -> None:
        """See `instrument.telemetry.probes.Probe`."""
        self._stat.close()
        self._memory.close()

    def _read_memory(self) -> dict[str, float]:
        text = self._memory.read()
        available = _bytes_at(text, b"MemAvailable:")
        readings: dict[str, float] = {
            "host.memory_used_bytes": _bytes_at(text, b"MemTotal:") - available,
            "host.memory_available_bytes": available,
        }
        if b"SwapTotal:" in text and (swap := _bytes_at(text, b"SwapTotal:")):
            readings["host.swap_used_bytes"] = swap - _bytes_at(text, b"SwapFree:")
        return readings

    def _read_cpu(self) -> dict[str, float]:
        """Nothing at the first reading: a share needs two."""
        ticks = [int(field) for field in self._stat.read().split(None, _COLUMNS + 1)[1:-1]]
        total = sum(ticks)
        idle = ticks[_IDLE] + ticks[_WAITING]
        before, self._before = self._before, (total, idle)
        if before is None or total <= before[0]:
            return {}
        busy = 1 - (idle - before[1]) / (total - before[0])
        return {"host.cpu_percent": round(min(100.0, max(0.0, 100 * busy)), 1)}


def _bytes_at(text: bytes, name: bytes) -> int:
    """What the line ``<name>   <number> kB`` tells, in bytes."""
    start = text.index(name) + len(name)
    return int(text[start : text.index(b" kB", start)]) * _KIB
