"""What the system itself has counted for this process: known however short the run was."""

import resource
import sys
from typing import Final

_MAXRSS_BYTES: Final = 1 if sys.platform == "darwin" else 1024


class Usage:
    """Counts from here on; the peak of the memory is that of the whole life of the process."""

    def __init__(self) -> None:
        self._own = _cpu_seconds(resource.RUSAGE_SELF)
        self._children = _cpu_seconds(resource.RUSAGE_CHILDREN)

    def readings(self) -> dict[str, float]:
        """CPU seconds of this process, and of its ended children if any; the peak of its memory."""
        ended = _cpu_seconds(resource.RUSAGE_CHILDREN) - self._children
        of_children = {"process.ended_children_cpu_seconds": round(ended, 6)} if ended else {}
        return {
            "process.cpu_seconds": round(_cpu_seconds(resource.RUSAGE_SELF) - self._own, 6),
            **of_children,
            "process.memory_peak_bytes": (
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_BYTES
            ),
        }

    def summary(self) -> dict[str, dict[str, float]]:
        """The readings as `TelemetrySummarised` holds them."""
        return {name: {"max": value, "last": value} for name, value in self.readings().items()}


def _cpu_seconds(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime
