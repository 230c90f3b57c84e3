"""The file that a bundle is written to before it has its name: hidden, beside it, and locked.

The lock ends with the process, however that ends. So the next export to the same name can tell what
a killed one left behind. A lock may hold on one host only, so the name says which host writes.
"""

import fcntl
import hashlib
import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from instrument_local.files import READ_WRITE, Disk, Files, is_regular

_OPEN: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_TAG_LENGTH: Final = 8


@contextmanager
def unfinished(files: Files, target: Path) -> Iterator[tuple[int, Path]]:
    """A new file beside `target`, and its descriptor, which the block closes.

    It is gone after the block, and nobody else removes it meanwhile.
    """
    fd, path = _made(files.disk, target)
    with files.discarding(path):
        held = os.dup(fd)  # the lock stays when the block closes its descriptor
        try:
            yield fd, path
        finally:
            os.close(held)


def remove_left(disk: Disk, target: Path) -> None:
    """Remove what killed exports to `target` left; what somebody may still write stays."""
    name = re.compile(rf"\.{re.escape(target.name)}\.{_host()}[0-9a-f]{{{_TAG_LENGTH}}}\.part")
    with suppress(OSError):
        for path in list(target.parent.iterdir()):
            if name.fullmatch(path.name):
                _remove_unlocked(disk, path)


def _remove_unlocked(disk: Disk, path: Path) -> None:
    with suppress(OSError):  # it is locked, or there are no locks here, or it is gone
        fd = os.open(path, _OPEN)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_regular(path):
                disk.unlink(path)
        finally:
            os.close(fd)


def _made(disk: Disk, target: Path) -> tuple[int, Path]:
    while True:
        tag = f"{_host()}{secrets.token_hex(_TAG_LENGTH // 2)}"
        path = target.with_name(f".{target.name}.{tag}.part")
        fd = disk.open(path, READ_WRITE, 0o600)
        with suppress(OSError):  # without locks nobody removes it
            fcntl.flock(fd, fcntl.LOCK_EX)
        if os.path.lexists(path):
            return fd, path
        disk.close(fd)  # another export came between, and took it for one that was left


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:_TAG_LENGTH]
