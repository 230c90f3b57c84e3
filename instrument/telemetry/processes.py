"""This process and its descendants: processor time and memory (proc_pid_stat(5))."""

import os
from collections.abc import Collection
from typing import Final, NamedTuple

from instrument.telemetry.probes import PAGE_BYTES, TICKS_PER_SECOND, File, Rate, without_none

REFRESH_EVERY: Final = 10
"""Samples between two walks over the descendants: a walk costs more than a sample."""
_USER_TIME, _SYSTEM_TIME, _THREADS, _RESIDENT = 11, 12, 17, 21  # counted after the command's name
_PERCENT_PER_TICK: Final = 100.0 / TICKS_PER_SECOND


class _Usage(NamedTuple):
    """What one process has used."""

    cpu_ticks: int
    threads: int
    memory_bytes: int


class ProcessProbe:
    """Processor share and resident memory of this process and of its whole tree.

    100 % is one processor. The tree's memory counts shared pages once for each process. What a
    child used before it was first seen does not count: it would stand in one sample as a peak.

    Args:
        tree: Whether to follow its descendants.
    """

    def __init__(self, *, tree: bool = True) -> None:
        self._own = os.getpid()
        self._tree = tree
        self._files: dict[int, File] = {}
        self._last: dict[int, int] = {}
        self._tree_ticks = 0
        self._samples = 0
        self._own_rate = Rate()
        self._tree_rate = Rate()

    def read(self, seconds: float) -> dict[str, float]:
        """See `instrument.telemetry.probes.Probe`."""
        if self._samples % REFRESH_EVERY == 0:
            self._follow({self._own, *(_descendants(self._own) if self._tree else ())})
        self._samples += 1
        usages = self._usages()
        own = usages[self._own]
        readings: dict[str, float | None] = {
            "process.memory_bytes": own.memory_bytes,
            "process.threads": own.threads,
            "process.cpu_percent": self._own_rate.per_second(
                own.cpu_ticks * _PERCENT_PER_TICK, seconds
            ),
        }
        if self._tree:
            readings |= self._tree_readings(usages, seconds)
        return without_none(readings)

    def close(self) -> None:
        """See `instrument.telemetry.probes.Probe`."""
        self._follow(set())

    def pids(self) -> Collection[int]:
        """The processes of the tree, as it was last seen."""
        return self._files.keys()

    def _tree_readings(self, usages: dict[int, _Usage], seconds: float) -> dict[str, float | None]:
        for pid, usage in usages.items():
            self._tree_ticks += usage.cpu_ticks - self._last.get(pid, usage.cpu_ticks)
            self._last[pid] = usage.cpu_ticks
        ticks = self._tree_ticks * _PERCENT_PER_TICK
        return {
            "tree.memory_bytes": sum(usage.memory_bytes for usage in usages.values()),
            "tree.cpu_percent": self._tree_rate.per_second(ticks, seconds),
            "tree.processes": len(usages),
        }

    def _usages(self) -> dict[int, _Usage]:
        """What each living process has used; those that ended are let go."""
        usages: dict[int, _Usage] = {}
        for pid, file in list(self._files.items()):
            try:
                fields = file.read().rpartition(b")")[2].split(None, _RESIDENT + 1)
                ticks = int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])
                threads, pages = int(fields[_THREADS]), int(fields[_RESIDENT])
                usages[pid] = _Usage(ticks, threads, pages * PAGE_BYTES)
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
            file = File(f"/proc/{pid}/task/{thread}/children")
            children += map(int, file.read_whole().split())
            file.close()
    except OSError:
        pass
    return children
