"""What the system itself has counted for this process: known however short the run was."""

import resource
import sys
from typing import Final

from instrument.overhead import cpu_used

_MAXRSS_BYTES: Final = 1 if sys.platform == "darwin" else 1024


class Usage:
    """Counts from `began` on; the peak of the memory is that of the whole life of the process.

    Args:
        began: What `instrument.overhead.cpu_used` said at the beginning; by default it is now.
    """

    def __init__(self, began: tuple[float, float] | None = None) -> None:
        self._own, self._children = began or cpu_used()

    def readings(self) -> dict[str, float]:
        """CPU seconds of this process, and of its ended children if any; the peak of its memory."""
        own, children = cpu_used()
        ended = children - self._children
        of_children = {"process.ended_children_cpu_seconds": round(ended, 6)} if ended else {}
        return {
            "process.cpu_seconds": round(own - self._own, 6),
            **of_children,
            "process.memory_peak_bytes": (
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_BYTES
            ),
        }

    def summary(self) -> dict[str, dict[str, float]]:
        """The readings as `TelemetrySummarised` holds them."""
        return {name: {"max": value, "last": value} for name, value in self.readings().items()}
