"""Run one command and account for it and everything it started."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

SPAWN: Final = Path(__file__).with_name("spawn.py")
_PR_SET_CHILD_SUBREAPER: Final = 36
_GONE_SECONDS: Final = 30.0


class LaunchError(Exception):
    """A command that was to be measured failed."""


class Launched:
    """A command that runs.

    Args:
        command: What to run; the first item is a path.
        directory: Where to run it, and
        environment: with which variables.
        told: The file in which it tells what it saw (``BENCH_TOLD``).
    """

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        told: Path,
    ) -> None:
        told.unlink(missing_ok=True)
        self._told = told
        self._command = command
        self._output = told.with_suffix(".log")
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(SPAWN), str(told), *command],
                cwd=directory,
                env={**environment, "BENCH_TOLD": str(told)},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def processes(self) -> list[int]:
        """The command and all its descendants that live now."""
        return [pid for pid in descendants(os.getpid()) if pid != self._process.pid]

    def tree(self) -> list[int]:
        """As `processes`, without what cut loose from the command."""
        return list(descendants(self._process.pid))

    def told(self) -> dict[str, float]:
        """What it told so far."""
        if not self._told.exists():
            return {}
        pairs = (line.split(" ") for line in self._told.read_text().splitlines())
        return {name: float(value) for name, value in pairs}

    def has_ended(self) -> bool:
        """Whether it ended."""
        return self._process.poll() is not None

    def peak_bytes(self) -> int:
        """Watch until it ends: the most memory that all its processes held at one moment."""
        peak = 0
        while not self.has_ended():
            peak = max(peak, _resident_bytes(self.processes()))
            time.sleep(0.002)
        return peak

    def end(self) -> None:
        """Close its standard input and wait for it.

        Raises:
            LaunchError: It failed; the message shows the end of its output.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self._process.wait() != 0:
            tail = self._output.read_text(errors="replace")[-2000:]
            raise LaunchError(f"{' '.join(self._command)}\n{tail}")

    def wait(self) -> dict[str, float]:
        """As `end`, and wait for what it left behind; what it told and what it cost."""
        self.end()
        told = self.told()
        told["cpu_seconds"] += sum(reap_orphans())
        told["peak_mb"] = told.pop("peak_kb") * 1024 / 1e6
        told["wall_ms"] = (told["ended"] - told["started"]) * 1000
        return told


def adopt_orphans() -> None:
    """Become the parent of what our commands leave behind, so that it is counted."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_orphans() -> Iterator[float]:
    """Wait for what commands left behind, and kill what will not end; the CPU seconds of each."""
    deadline = time.monotonic() + _GONE_SECONDS
    while True:
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid:
            yield usage.ru_utime + usage.ru_stime
        elif time.monotonic() < deadline:
            time.sleep(0.01)
        else:
            _kill_orphans()
            deadline = time.monotonic() + 1


def _kill_orphans() -> None:
    for pid in descendants(os.getpid()):
        command = _read(Path(f"/proc/{pid}/cmdline")).replace("\0", " ")
        print(f"\nleft behind and still running, killed: {pid} {command}", file=sys.stderr)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> Iterator[int]:
    """Children of `pid`, theirs, and so on. Processes may end meanwhile."""
    for thread in _listing(Path(f"/proc/{pid}/task")):
        for child in _read(Path(f"/proc/{pid}/task/{thread}/children")).split():
            yield int(child)
            yield from descendants(int(child))


def _resident_bytes(processes: Sequence[int]) -> int:
    """Memory of all `processes`; two with the very same numbers share it (a fork before exec)."""
    lines = {_read(Path(f"/proc/{pid}/statm")) for pid in processes}
    return sum(int(line.split()[1]) for line in lines if line) * os.sysconf("SC_PAGESIZE")


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _listing(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.iterdir()]
    except OSError:
        return []
