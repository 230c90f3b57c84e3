"""Log a file or a tree as an artifact: ``artifact.py TRACKER PATH``."""

import hashlib
import mmap
import os
import subprocess
import sys
import time
from collections.abc import Callable
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
        _copy(file, STORE / digest, durable=True)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(keep, path.rglob("*.bin")))


def _copy(source: Path, target: Path, *, durable: bool) -> None:
    with source.open("rb") as reader, target.open("wb") as writer:
        left = os.fstat(reader.fileno()).st_size
        while left > 0:
            left -= os.copy_file_range(reader.fileno(), writer.fileno(), left)
        if durable:
            os.fsync(writer.fileno())


def sha256sum(path: Path) -> None:
    _run("sha256sum", str(path))


def cp(path: Path) -> None:
    _run("cp", str(path), str(STORE / "copy"))
    _run("sync", str(STORE / "copy"))


def stat_and_sha256(path: Path) -> None:
    """Look at every file and hash it: what it takes to know without a store what a tree is."""
    for directory, _, names in os.walk(path):
        for name in names:
            file = os.path.join(directory, name)  # noqa: PTH118 - the floor is no slower than it must
            os.stat(file)  # noqa: PTH116 - as above
            with open(file, "rb", buffering=0) as opened:  # noqa: PTH123 - as above
                hashlib.sha256(opened.read()).hexdigest()


def git_hash_object(path: Path) -> None:
    _run("git", "init", "--quiet", "--bare", str(STORE / "git"))
    names = "".join(f"{file}\n" for file in path.rglob("*.bin"))
    repository = f"--git-dir={STORE / 'git'}"
    _run("git", repository, "hash-object", "-w", "--stdin-paths", given=names)


def dvc_add(path: Path) -> None:
    _run(str(Path(sys.executable).with_name("dvc")), "add", "--quiet", path.name, where=path.parent)


def _prepare_dvc(path: Path) -> None:
    dvc = str(Path(sys.executable).with_name("dvc"))
    _run(dvc, "init", "--no-scm", "--quiet", "--force", where=path.parent)
    _run(dvc, "config", "cache.dir", str(STORE / "dvc"), where=path.parent)


def _run(*command: str, given: str | None = None, where: Path | None = None) -> None:
    done = subprocess.run(
        command, input=given, text=True, cwd=where, check=False, capture_output=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")


COMMANDS: dict[str, Callable[[Path], None]] = {
    command.__name__: command
    for command in (sha256sum, cp, stat_and_sha256, git_hash_object, dvc_add)
}


def _command(name: str) -> Callable[[Params, Body], None]:
    """A tracker that is one command."""

    def tracker(params: Params, body: Body) -> None:
        if name == "dvc_add":
            _prepare_dvc(Path(sys.argv[2]))
        body(Log(lambda step, loss: None, COMMANDS[name]))

    return tracker


def main(name: str, path: Path) -> None:
    tracker = floor if name == "floor" else TRACKERS.get(name) or _command(name)
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
