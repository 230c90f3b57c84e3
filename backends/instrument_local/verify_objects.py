"""Hashes objects, several at once: each thread has one buffer, and no more wait than it takes."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from instrument_local.copying import Told, hash_file
from instrument_local.files import open_below

THREADS: Final = min(4, os.cpu_count() or 1)
_WAITING: Final = 4 * THREADS


class Hashed(NamedTuple):
    """An object that was read.

    Attributes:
        path: Its file.
        size_bytes: Its length.
        found: SHA-256 of its bytes, in hex.
        error: Why it could not be read, else None.
    """

    path: Path
    size_bytes: int = 0
    found: str = ""
    error: OSError | None = None


def hash_objects(root: Path, paths: Iterable[Path], told: Told) -> Iterator[Hashed]:
    """Read the files `paths` below `root`, which are objects; the results are in their order."""
    rest = iter(paths)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="instrument-verify") as pool:
        start = lambda path: pool.submit(_hash, root, path, told)  # noqa: E731 - one line
        waiting: deque[Future[Hashed]] = deque(map(start, islice(rest, _WAITING)))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(map(start, islice(rest, 1)))


def _hash(root: Path, path: Path, told: Told) -> Hashed:
    try:
        fd = open_below(root, path)
    except OSError as error:
        return Hashed(path, error=error)
    try:
        return Hashed(path, os.fstat(fd).st_size, hash_file(fd, told))
    except OSError as error:
        return Hashed(path, error=error)
    finally:
        os.close(fd)
