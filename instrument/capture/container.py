"""Signs of a container, and the limits that control groups set.

No single sign is proof (``/.dockerenv`` also stands on machines that were made from an image), so
the signs themselves are kept. Ids of containers are not: they differ from run to run.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from instrument.redaction import printable

_FILES: Final = {
    "/.dockerenv": "docker",
    "/run/.containerenv": "podman",
    "/.singularity.d": "apptainer",
    "/var/run/secrets/kubernetes.io": "kubernetes",
}
_VARIABLES: Final = {
    "APPTAINER_CONTAINER": "apptainer",
    "SINGULARITY_CONTAINER": "apptainer",
    "KUBERNETES_SERVICE_HOST": "kubernetes",
}
_GROUPS: Final = (
    (re.compile(r"kubepods"), "kubernetes"),
    (re.compile(r"libpod[-_]"), "podman"),
    (re.compile(r"docker[-/][0-9a-f]{12,64}"), "docker"),
    (re.compile(r"/lxc[/.]"), "lxc"),
)
_LIMITS: Final = {  # name: file in cgroup v2, file in cgroup v1
    "memory_bytes": ("memory.max", "memory/memory.limit_in_bytes"),
    "cpu_quota_us": ("cpu.max", "cpu/cpu.cfs_quota_us"),
}
_NO_LIMIT_BYTES: Final = 1 << 60


def container(
    root: Path = Path("/"), environment: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """What points to a container, and of which kind.

    Args:
        root: Where the system's files lie.
        environment: The variables to look at.
    """
    signs = {
        *((path, kind) for path, kind in _FILES.items() if (root / path.lstrip("/")).exists()),
        *((name, kind) for name, kind in _VARIABLES.items() if name in environment),
        *(("cgroup", kind) for kind in _kinds_of_groups(root)),
    }
    if "container" in environment:  # set by podman, systemd-nspawn and others
        signs.add(("container", printable(environment["container"])))
    version = 2 if (root / "sys/fs/cgroup/cgroup.controllers").exists() else 1
    return {
        "kinds": sorted({kind for _, kind in signs}),
        "signs": sorted({sign for sign, _ in signs}),
        "cgroup_version": version if (root / "sys/fs/cgroup").exists() else None,
        "limits": {name: _limit(root, files) for name, files in _LIMITS.items()},
    }


def _kinds_of_groups(root: Path) -> set[str]:
    text = _read(root / "proc/self/cgroup") + _read(root / "proc/1/cgroup")
    return {kind for pattern, kind in _GROUPS if pattern.search(text)}


def _limit(root: Path, files: tuple[str, str]) -> int | None:
    """The limit, or None when there is none."""
    for name in files:
        first = _read(root / "sys/fs/cgroup" / name).split(maxsplit=1)[:1]
        if first and first[0].lstrip("-").isdigit() and 0 <= int(first[0]) < _NO_LIMIT_BYTES:
            return int(first[0])
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
