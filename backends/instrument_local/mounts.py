"""Which file system a path lies on, and where things that are only caches may lie."""

import os
import re
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

_NETWORK: Final = re.compile(
    r"nfs\d?|cifs|smb3?|smbfs|lustre|gpfs|beegfs.*|ceph|glusterfs|afs|pvfs2|orangefs|9p|fuse\..+"
)


class Mount(NamedTuple):
    """A mounted file system.

    Attributes:
        kind: Type, such as ``ext4`` or ``nfs4``; ``unknown`` where the system does not say.
        options: Options, separated by commas.
    """

    kind: str
    options: str

    @property
    def is_network(self) -> bool:
        """Whether other hosts may see the same files (or whether that is not known)."""
        return self.kind == "unknown" or _NETWORK.fullmatch(self.kind) is not None


def mount_of(path: Path) -> Mount:
    """The file system that holds `path` (or would, where `path` does not exist yet)."""
    place = os.fsencode(os.path.realpath(path))
    best, found = -1, Mount("unknown", "")
    try:
        table = Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return found
    for line in table.splitlines():
        left, _, right = line.partition(b" - ")
        fields, last = left.split(b" "), right.split(b" ")
        point = re.sub(rb"\\(\d{3})", lambda match: bytes([int(match[1], 8)]), fields[4])
        if _inside(place, point) and len(point) >= best:
            options = b",".join([fields[5], *last[2:3]])
            best, found = len(point), Mount(os.fsdecode(last[0]), os.fsdecode(options))
    return found


def _inside(place: bytes, point: bytes) -> bool:
    return place == point or place.startswith(point.rstrip(b"/") + b"/")


def cache_directory() -> Path | None:
    """A private directory on a local disk for what can be made again; None where there is none.

    SQLite needs a local disk: on network file systems it can lose what it said it has.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - never raises
    temporary = Path(tempfile.gettempdir()) / f"instrument-cache-{os.getuid()}"
    for candidate in (Path(home) / "instrument", temporary):
        if candidate.is_absolute() and not mount_of(candidate).is_network and _usable(candidate):
            return candidate
    return None


def _usable(directory: Path) -> bool:
    """Whether `directory` is there (made if need be), ours, and writable."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.lstat()
        if status.st_uid == os.getuid() and status.st_mode & 0o077:
            directory.chmod(0o700)  # what is searched for in it is nobody else's business
    except OSError:
        return False
    return status.st_uid == os.getuid() and os.access(directory, os.W_OK | os.X_OK)
