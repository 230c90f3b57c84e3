"""Limits that control groups set for this process, of both versions, and of the groups above."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from instrument.capture.parts import NotKnown, explained
from instrument.capture.system_files import text_of, unescaped

_NO_LIMIT_BYTES: Final = 1 << 60  # version 1 writes "no limit" as a huge number


class Group(NamedTuple):
    """The group of this process in one hierarchy.

    Attributes:
        mount: Where the hierarchy is mounted.
        directory: The group's directory, at `mount` or below it.
        version: 1 or 2.
    """

    mount: Path
    directory: Path
    version: int


def limits(root: Path = Path("/")) -> dict[str, Any]:
    """The tightest limit on memory and processors from this process's group upwards.

    ``cpu_count`` is a quota in processors, such as 1.5. What is None has its reason in ``reasons``.

    Args:
        root: Where the system's files lie.
    """
    memory, cpu = groups(root, "memory"), groups(root, "cpu")
    if memory is None and cpu is None:
        raise NotKnown("no control groups: none is named in /proc/self/cgroup and mounted")
    quota = _smallest(cpu, {1: _quota_of_version_1, 2: _quota_of_version_2})
    told = {
        "cgroup_version": (memory or cpu or _NOWHERE).version,
        "memory_bytes": _smallest(
            memory, {1: _bytes_of("memory.limit_in_bytes"), 2: _bytes_of("memory.max")}
        ),
        "cpu_count": round(quota, 3) if quota is not None else None,
    }
    unknown = {
        field: f"no control group for the {controller} can be looked at"
        for field, controller, group in (
            ("memory_bytes", "memory", memory),
            ("cpu_count", "processors", cpu),
        )
        if group is None
    }
    return explained(told, "no group of this process has a limit on it", **unknown)


def groups(root: Path, controller: str) -> Group | None:
    """This process's group for `controller`; None where it has none that can be looked at."""
    paths = _paths(root)
    for version, key in ((1, controller), (2, "")):
        if key in paths:
            for mount in _mounts(root, version, controller):
                inside = _inside(paths[key], mount[0])
                point = root / mount[1].lstrip("/")
                if point.is_dir():
                    return Group(point, point / inside, version)
    return None


def _paths(root: Path) -> dict[str, str]:
    """Path of this process's group by controller; "" stands for version 2."""
    paths = {}
    for line in text_of(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for name in controllers.split(","):
            paths[name] = path
    return paths


def _mounts(root: Path, version: int, controller: str) -> Iterator[tuple[str, str]]:
    """The part of the hierarchy that is mounted, and where (proc_pid_mountinfo(5))."""
    for line in text_of(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3:  # noqa: PLR2004 - not a line of this file
            continue
        if version == 1:
            right = kind[0] == "cgroup" and controller in kind[2].split(",")
        else:
            right = kind[0] == "cgroup2"
        if right:
            yield unescaped(fields[3]), unescaped(fields[4])


def _inside(path: str, mounted: str) -> str:
    """`path` as seen from the mount; a group outside of what is mounted is taken as its top."""
    if mounted != "/":
        if path != mounted and not path.startswith(mounted + "/"):
            return ""
        path = path[len(mounted) :]
    return "" if ".." in path.split("/") else path.strip("/")


def _smallest(group: Group | None, readers: dict[int, Callable[[Path], float | None]]) -> Any:
    """The smallest limit from the group up to its mount."""
    if group is None:
        return None
    inside = [
        p for p in (group.directory, *group.directory.parents) if p.is_relative_to(group.mount)
    ]
    found = [limit for path in inside if (limit := readers[group.version](path)) is not None]
    return min(found, default=None)


def _bytes_of(name: str) -> Callable[[Path], int | None]:
    def read(directory: Path) -> int | None:
        text = text_of(directory / name).strip()
        return int(text) if text.isdigit() and int(text) < _NO_LIMIT_BYTES else None

    return read


def _quota_of_version_2(directory: Path) -> float | None:
    quota, _, period = text_of(directory / "cpu.max").strip().partition(" ")
    return _quota(quota, period)


def _quota_of_version_1(directory: Path) -> float | None:
    return _quota(
        text_of(directory / "cpu.cfs_quota_us").strip(),
        text_of(directory / "cpu.cfs_period_us").strip(),
    )


def _quota(quota: str, period: str) -> float | None:
    if quota.isdigit() and period.isdigit() and int(period):
        return int(quota) / int(period)
    return None


_NOWHERE: Final = Group(Path(), Path(), 0)
