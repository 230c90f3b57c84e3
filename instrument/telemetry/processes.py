"""This process and its descendants: processor time and memory (proc_pid_stat(5))."""

import os
from pathlib import Path
from typing import Final, NamedTuple

from instrument.telemetry.probes import PAGE_BYTES, TICKS_PER_SECOND, File, Rate, without_none

REFRESH_EVERY: Final = 10
"""Samples between two walks over the descendants: a walk costs more than a sample."""
_USER_TIME, _SYSTEM_TIME, _RESIDENT = 11, 12, 21  # counted after the command's name


class _Usage(NamedTuple):
    """What one process has used."""

    cpu_ticks: int
    memory_bytes: int


class ProcessProbe:
    """Processor share and resident memory of this process and of its whole tree.

    100 % is one processor. The tree's memory counts shared pages once for each process. What a
    child used before it was first seen does not count: it would stand in one sample as a peak.
    """

    def __init__(self) -> None:
        self._own = os.getpid()
        self._files: dict[int, File] = {}
        self._last: dict[int, int] = {}
        self._tree_ticks = 0
        self._samples = 0
        self._own_rate = Rate()
        self._tree_rate = Rate()

    def read(self, seconds: float) -> dict[str, float]:
        """See `instrument.telemetry.probes.Probe`."""
        if self._samples % REFRESH_EVERY == 0:
            self._follow({self._own, *_descendants(self._own)})
        self._samples += 1
        usages = self._usages()
        own = usages[self._own]
        for pid, usage in usages.items():
            self._tree_ticks += usage.cpu_ticks - self._last.get(pid, usage.cpu_ticks)
            self._last[pid] = usage.cpu_ticks
        percent_per_tick = 100.0 / TICKS_PER_SECOND
        readings: dict[str, float | None] = {
            "process.memory_bytes": own.memory_bytes,
            "process.cpu_percent": self._own_rate.per_second(
                own.cpu_ticks * percent_per_tick, seconds
            ),
            "tree.memory_bytes": sum(usage.memory_bytes for usage in usages.values()),
            "tree.cpu_percent": self._tree_rate.per_second(
                self._tree_ticks * percent_per_tick, seconds
            ),
            "tree.processes": len(usages),
        }
        return without_none(readings)

    def close(self) -> None:
        """See `instrument.telemetry.probes.Probe`."""
        self._follow(set())

    def _usages(self) -> dict[int, _Usage]:
        """What each living process has used; those that ended are let go."""
        usages: dict[int, _Usage] = {}
        for pid, file in list(self._files.items()):
            try:
                fields = file.read().rpartition(b")")[2].split()
                ticks = int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])
                usages[pid] = _Usage(ticks, int(fields[_RESIDENT]) * PAGE_BYTES)
            except (OSError, IndexError):
                self._drop(pid)
        return usages

    def _follow(self, pids: set[int]) -> None:
        for pid in set(self._files) - pids:
            self._drop(pid)
        for pid in pids - set(self._files):
            try:
                self._files[pid] = File(f"/proc/{pid}/stat")
            except OSError:
                continue  # it ended meanwhile

    def _drop(self, pid: int) -> None:
        self._files.pop(pid).close()
        self._last.pop(pid, None)


def _descendants(pid: int) -> list[int]:
    """All processes below `pid`; empty where the kernel does not list children."""
    found: list[int] = []
    pending = [pid]
    while pending:
        children = _children(pending.pop())
        found += children
        pending += children
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - names, and fast
            text = Path(f"/proc/{pid}/task/{thread}/children").read_bytes()
            children += map(int, text.split())
    except OSError:
        pass
    return children
