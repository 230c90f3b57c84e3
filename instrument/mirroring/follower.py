"""Starts a live mirror as a process of its own, and waits for it at the end of the run."""

import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO, Final

from instrument.mirroring import marks

_STAMP: Final = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")


class Follower:
    """A live mirror of one run, in a process of its own.

    Attributes:
        name: Name of the mirror.
        run_id: The run.
        log: The file that has its output, and at the end what is missing and why.
    """

    def __init__(
        self,
        name: str,
        run_id: str,
        log: Path,
        log_start: int,
        process: "subprocess.Popen[bytes]",
    ) -> None:
        self.name = name
        self.run_id = run_id
        self.log = log
        self._log_start = log_start
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it is still at work; after `wait` this tells a late mirror from a failed one."""
        return self._process.poll() is None

    @property
    def failure(self) -> str | None:
        """Why it ended without the whole run, on one line; None when it has it or is at work."""
        code = self._process.poll()
        if not code:
            return None
        if code < 0:
            return f"it was ended by signal {-code}"
        try:
            said = self.log.read_bytes()[self._log_start :].decode(errors="replace").split("\n")
        except OSError:
            said = []
        last = next((line for line in reversed(said) if line.strip()), "")
        return _STAMP.sub("", last).strip() or f"it ended with exit code {code}"

    def wait(self, deadline_seconds: float) -> bool:
        """Wait for the mirror, `deadline_seconds` at most, and leave it to itself then.

        Returns:
            Whether the mirror has the whole run.
        """
        try:
            return self._process.wait(deadline_seconds) == 0
        except subprocess.TimeoutExpired:
            # Somebody has to collect it when it ends, or it stays as a zombie.
            threading.Thread(target=self._process.wait, daemon=True).start()
            return False


def start_follower(name: str, store_location: Path, run_id: str, *, offline: bool) -> Follower:
    """Start the live mirror `name` of a run; it ends by itself after the run.

    It has a session of its own and ignores SIGINT, so that what ends the run does not end the
    mirror. Its journal of events is ``mirrors/<name>/<run_id>.log`` in the store, or a temporary
    file where the store cannot be written.

    Args:
        name: Name of the mirror.
        store_location: Directory of the local store.
        run_id: The run, whose journal is open already.
        offline: Not one network system call.

    Raises:
        OSError: The process could not be started.
    """
    command = [sys.executable, "-P", "-m", "instrument.mirroring"]
    command += [name, str(store_location), run_id, *(["--offline"] if offline else [])]
    with _open_log(store_location / "mirrors" / name / f"{run_id}.log") as log:
        log_start = log.seek(0, os.SEEK_END)  # an earlier attempt may have written before
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return Follower(name, run_id, Path(log.name), log_start, process)


def _open_log(path: Path) -> BinaryIO:
    try:
        for part in (path.parent.parent, path.parent):
            part.mkdir(mode=0o700, exist_ok=True)
        return open(path, "ab", opener=marks.private)
    except OSError:
        descriptor, name = tempfile.mkstemp(prefix="instrument-mirror-", suffix=".log")
        os.close(descriptor)
        return Path(name).open("ab")
