"""The control group that this process lives in: what a container or a job may use, and does.

Version 2 of the kernel's control groups, and version 1 where that is mounted.
"""

from pathlib import Path
from typing import Final

from instrument.telemetry.probes import File, ProbeUnavailable, Rate

_ROOT: Final = Path("/sys/fs/cgroup")
_MICROSECOND: Final = 1e-6
_NANOSECOND: Final = 1e-9
_UNLIMITED: Final = 1 << 60  # version 1 says so with a number near 2 ** 63


class GroupProbe:
    """Memory and processor time of the group against their limits.

    Args:
        membership: What /proc/self/cgroup says.
        root: Where control groups are mounted.

    Raises:
        ProbeUnavailable: The group has no limit and is the machine, or there is none.
    """

    def __init__(self, membership: str | None = None, root: Path = _ROOT) -> None:
        lines = membership if membership is not None else _membership()
        self._files: list[File] = []
        self._rate = Rate()
        group = _version_2(lines, root) or _version_1(lines, root)
        if group is None:
            raise ProbeUnavailable("no control group limits this process")
        memory, self._memory_limit, cpu, self._cpu_scale, self._cpus = group
        self._memory, self._cpu = self._open(memory), self._open(cpu)

    def read(self, seconds: float) -> dict[str, float]:
        """See `instrument.telemetry.probes.Probe`."""
        readings: dict[str, float] = {}
        if self._memory is not None:
            readings["cgroup.memory_used_bytes"] = int(self._memory.read())
        if self._memory_limit is not None:
            readings["cgroup.memory_limit_bytes"] = self._memory_limit
        if self._cpu is not None:
            count = int(self._cpu.read().split(b"\n", 1)[0].split()[-1])  # usage_usec, or a number
            share = self._rate.per_second(count * self._cpu_scale * 100, seconds)
            if share is not None:
                readings["cgroup.cpu_percent"] = share
        if self._cpus is not None:
            readings["cgroup.cpu_limit_percent"] = round(100 * self._cpus, 1)
        return readings

    def close(self) -> None:
        """See `instrument.telemetry.probes.Probe`."""
        for file in self._files:
            file.close()

    def _open(self, path: Path) -> File | None:
        try:
            self._files.append(File(str(path)))
        except OSError:
            return None
        return self._files[-1]


_Group = tuple[Path, int | None, Path, float, float | None]


def _version_2(lines: str, root: Path) -> _Group | None:
    path = next((line[3:] for line in lines.splitlines() if line.startswith("0::")), None)
    if path is None:
        return None
    directory = _directory(root, path)
    if not (directory / "memory.current").exists():
        return None
    quota = _text(directory / "cpu.max").split()
    cpus = int(quota[0]) / int(quota[1]) if quota and quota[0].isdigit() else None
    limit = _number(directory / "memory.max")
    return directory / "memory.current", limit, directory / "cpu.stat", _MICROSECOND, cpus


def _version_1(lines: str, root: Path) -> _Group | None:
    paths = {
        controller: path
        for _, controllers, path in (line.split(":", 2) for line in lines.splitlines())
        for controller in controllers.split(",")
    }
    memory = _directory(root / "memory", paths.get("memory", "/"))
    cpu = _directory(root / "cpu", paths.get("cpu", "/"))
    limit = _number(memory / "memory.limit_in_bytes")
    quota, period = _number(cpu / "cpu.cfs_quota_us"), _number(cpu / "cpu.cfs_period_us")
    cpus = quota / period if quota and quota > 0 and period else None
    if limit is None and cpus is None:
        return None
    accounting = _directory(root / "cpuacct", paths.get("cpuacct", "/"))
    usage = accounting / "cpuacct.usage"
    return memory / "memory.usage_in_bytes", limit, usage, _NANOSECOND, cpus


def _directory(root: Path, path: str) -> Path:
    """The group's directory; inside a container its own group is the root that it sees."""
    inner = root / path.lstrip("/")
    return inner if inner.is_dir() else root


def _membership() -> str:
    return _text(Path("/proc/self/cgroup"))


def _number(path: Path) -> int | None:
    try:
        number = int(_text(path))
    except ValueError:  # "max", or nothing
        return None
    return number if number < _UNLIMITED else None


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""
