"""Log a file or a tree as an artifact: ``artifact.py TRACKER PATH``."""

import hashlib
import mmap
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.scenarios.tell import tell
from benchmarks.scenarios.trackers import STORE, TRACKERS, Body, Log, Params


def floor(params: Params, body: Body) -> None:
    """Hash and copy at once, and make the copy durable."""
    body(Log(lambda step, loss: None, _floor_tree if Path(sys.argv[2]).is_dir() else _floor_file))


def _floor_file(path: Path) -> None:
    with ThreadPoolExecutor(1) as copier:
        copied = copier.submit(_copy, path, STORE / "copy", durable=True)
        with path.open("rb") as source, mmap.mmap(source.fileno(), 0, prot=mmap.PROT_READ) as data:
            hashlib.sha256(data).hexdigest()
        copied.result()


def _floor_tree(path: Path) -> None:
    def keep(file: Path) -> None:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        _copy(file, STORE / digest, durable=False)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(keep, path.rglob("*.bin")))


def _copy(source: Path, target: Path, *, durable: bool) -> None:
    with source.open("rb") as reader, target.open("wb") as writer:
        left = os.fstat(reader.fileno()).st_size
        while left > 0:
            left -= os.copy_file_range(reader.fileno(), writer.fileno(), left)
        if durable:
            os.fsync(writer.fileno())


def main(name: str, path: Path) -> None:
    tracker = floor if name == "floor" else TRACKERS[name]
    started = 0.0

    def body(log: Log) -> None:
        nonlocal started
        assert log.artifact is not None
        started = time.perf_counter()
        log.artifact(path)
        tell("call_seconds", time.perf_counter() - started)

    tracker({"lr": 0.1}, body)
    tell("done_seconds", time.perf_counter() - started)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
