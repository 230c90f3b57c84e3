"""A disk that fails where a test says so, and helpers to look at journals by hand."""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from instrument_local.files import Disk

CALLS = ("open", "write", "fsync", "fdatasync", "close", "link", "rename", "unlink", "mkdir")


class FaultyDisk(Disk):
    """Counts the calls to the disk, and lets chosen ones fail.

    Args:
        fail: Number of the first call that fails, from 1; 0 for none.
        code: The error.
        forever: Whether all later calls fail too.
        only: Count and fail these calls only.
    """

    def __init__(
        self,
        fail: int = 0,
        code: int = errno.ENOSPC,
        *,
        forever: bool = False,
        only: tuple[str, ...] = CALLS,
    ) -> None:
        super().__init__()
        self.fail = fail
        self.code = code
        self.forever = forever
        self.calls = 0
        for name in only:
            setattr(self, name, self._wrapped(getattr(self, name), closes=name == "close"))

    def heal(self) -> None:
        """Work from now on."""
        self.fail = 0

    def _wrapped(self, call: Callable[..., Any], *, closes: bool) -> Callable[..., Any]:
        def faulty(*arguments: Any) -> Any:
            self.calls += 1
            due = self.calls >= self.fail if self.forever else self.calls == self.fail
            if self.fail and due:
                if closes:
                    call(*arguments)  # as the kernel: the descriptor is gone whatever it says
                raise OSError(self.code, os.strerror(self.code))
            return call(*arguments)

        return faulty


def journals(store: Path) -> list[Path]:
    """All journals of a store, by name."""
    return sorted(store.glob("runs/*/*/*.jsonl"), key=lambda path: path.stem)


def lines(journal: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal, decoded."""
    data = journal.read_bytes()
    return [json.loads(line) for line in data.splitlines(keepends=True) if line.endswith(b"\n")]


def chains(journal: Path, run_id: str) -> Iterator[tuple[str, str]]:
    """For each line the chain that it states, and the one worked out by hand."""
    head = f"instrument journal 1\n{run_id}\n{journal.stem}\n".encode()
    previous = hashlib.sha256(head).digest()
    for line in journal.read_bytes().splitlines():
        body, _, chain = line.rpartition(b',"chain":"')
        previous = hashlib.sha256(previous + body).digest()
        yield chain.removesuffix(b'"}').decode(), previous.hex()
