"""Which file system a path lies on, and where things that are only caches may lie."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

_NETWORK: Final = re.compile(
    r"nfs\d?|cifs|smb3?|smbfs|lustre|gpfs|beegfs.*|ceph|glusterfs|afs|pvfs2|orangefs|9p|fuse(?:\..+)?"
)

_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"})

_HERE_ONLY: Final = "locks hold on one machine only; run gc, pack and repair on one at a time"

# Types of file systems, an option of theirs or any, and what to know.
_ADVICE: Final = (
    (r"nfs\d?", r"soft(err)?", "a slow server can lose writes unseen; mount it hard"),
    (r"nfs\d?", "nocto", "others may read old data for minutes; mount it without nocto"),
    (r"nfs\d?", r"nolock|local_lock=(all|flock|posix)", _HERE_ONLY),
    ("lustre", "localflock|noflock", _HERE_ONLY),
    (r"ext\d|xfs", r"nobarrier|barrier=0", "a power cut can take what was synced; drop the option"),
    ("tmpfs|ramfs", None, "this is memory; what is stored here ends with the machine's uptime"),
    (
        "overlay",
        None,
        "this is a container's layer; keep the store on a volume, or it goes with it",
    ),
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

    @property
    def stamps_mapped_writes(self) -> bool:
        """Whether what programs write to a file in their memory gives it a new time, ever."""
        return self.kind not in _IN_MEMORY

    @property
    def advice(self) -> list[str]:
        """What somebody should know who keeps a store here, a line each."""
        options = self.options.split(",")
        lines = []
        for kind, option, said in _ADVICE:
            if not re.fullmatch(kind, self.kind):
                continue
            found = [each for each in options if option and re.fullmatch(option, each)]
            if found or option is None:
                lines.append(f"{found[0] if found else self.kind}: {said}")
        if self.kind == "lustre" and not any(option.endswith("flock") for option in options):
            lines.append(f"lustre without flock: {_HERE_ONLY}")
        return lines


def mount_of(path: Path) -> Mount:
    """The file system that holds `path` (or would, where `path` does not exist yet)."""
    return _mount_at(os.fsencode(os.path.realpath(path)), _table())


def may_hang(path: Path) -> bool:
    """Whether calls to `path` can wait for a server. Asks no server: none that hangs is touched."""
    table = _table()
    if _all_are_local(table):
        return False
    rest = list(reversed([path.absolute(), *path.absolute().parents]))
    for part in rest:
        if _mount_at(os.fsencode(part), table).is_network:
            return True
        with suppress(OSError):
            target = part.parent / part.readlink()
            if target != part:
                return may_hang(Path(os.path.normpath(target / path.absolute().relative_to(part))))
    return False


def _table() -> bytes:
    try:
        return Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return b""


def _mount_at(place: bytes, table: bytes) -> Mount:
    """The mount of `table` that `place`, which holds no symbolic link, is on."""
    best, found = -1, Mount("unknown", "")
    for point, mount in _mounts(table):
        if len(point) >= best and _inside(place, point):
            best, found = len(point), mount
    return found


@lru_cache(maxsize=1)
def _mounts(table: bytes) -> list[tuple[bytes, Mount]]:
    """The mounts of `table`, each with the directory where it is mounted."""
    mounts = []
    for line in table.splitlines():
        left, _, right = line.partition(b" - ")
        fields, last = left.split(b" "), right.split(b" ")
        point = re.sub(rb"\\(\d{3})", lambda match: bytes([int(match[1], 8)]), fields[4])
        options = b",".join([fields[5], *last[2:3]])
        mounts.append((point, Mount(os.fsdecode(last[0]), os.fsdecode(options))))
    return mounts


@lru_cache(maxsize=1)
def _all_are_local(table: bytes) -> bool:
    """Whether no place at all is on a network file system."""
    mounts = _mounts(table)
    has_root = any(point == b"/" for point, _ in mounts)
    return has_root and not any(mount.is_network for _, mount in mounts)


def _inside(place: bytes, point: bytes) -> bool:
    return place == point or place.startswith(point.rstrip(b"/") + b"/")


def cache_directory() -> Path | None:
    """A private directory on a local disk for what can be made again; None where there is none.

    SQLite needs a local disk: on network file systems it can lose what it said it has.
    """
    for candidate in _cache_directories():
        if candidate.is_absolute() and not mount_of(candidate).is_network and is_usable(candidate):
            return candidate
    return None


def _cache_directories() -> Iterator[Path]:
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - never raises
    yield Path(home) / "instrument"

    import tempfile

    yield Path(tempfile.gettempdir()) / f"instrument-cache-{os.getuid()}"


def is_usable(directory: Path) -> bool:
    """Whether `directory` is there (made if need be), ours, and writable."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.lstat()
        if status.st_uid == os.getuid() and status.st_mode & 0o077:
            directory.chmod(0o700)  # what is searched for in it is nobody else's business
    except OSError:
        return False
    return status.st_uid == os.getuid() and os.access(directory, os.W_OK | os.X_OK)
