"""A file system that hangs while this process is stopped: ``python hung_fs.py ROOT MOUNT_POINT``.

Shows the directory ROOT at MOUNT_POINT (FUSE). Stopped by SIGSTOP it takes no request, and callers
wait as they do for an NFS server that is away: only SIGKILL, or their own end, gets them out. (From
a request that a FUSE server has taken and does not answer, nothing does.)
"""

# ruff: noqa: PTH101, PTH102, PTH104, PTH106, PTH108, PTH208

import errno
import os
import sys
from typing import Any

import mfusepy  # type: ignore[import-untyped]  # it has no types


class Hanging(mfusepy.Operations):  # type: ignore[misc]  # as above
    use_ns = True

    def __init__(self, root: str) -> None:
        self._root = root

    def _at(self, path: str) -> str:
        return self._root + path

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        status = os.lstat(self._at(path))
        names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_ino")
        found = {name: getattr(status, name) for name in names}
        times = {
            name: getattr(status, f"{name}_ns") for name in ("st_atime", "st_mtime", "st_ctime")
        }
        return found | times

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._at(path))]

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        return os.open(self._at(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def open(self, path: str, flags: int) -> int:
        return os.open(self._at(path), flags & ~os.O_NOFOLLOW)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        os.fsync(fh)
        return 0

    def flush(self, path: str, fh: int) -> int:
        # Asked once: with it even a process that ends would wait for its open files.
        raise mfusepy.FuseOSError(errno.ENOSYS)

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(self._at(path), mode)
        return 0

    def unlink(self, path: str) -> int:
        os.unlink(self._at(path))
        return 0

    def rmdir(self, path: str) -> int:
        os.rmdir(self._at(path))
        return 0

    def link(self, target: str, source: str) -> int:
        os.link(self._at(source), self._at(target))
        return 0

    def rename(self, old: str, new: str) -> int:
        os.rename(self._at(old), self._at(new))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self._at(path), mode)
        return 0

    def utimens(self, path: str, times: Any = None) -> int:
        os.utime(self._at(path))
        return 0

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self._at(path), length)
        return 0


if __name__ == "__main__":
    root, place = sys.argv[1:]
    mfusepy.FUSE(Hanging(root), place, foreground=True, nothreads=False, raw_fi=False)
