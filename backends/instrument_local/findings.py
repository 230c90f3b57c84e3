"""What a check of the store has found so far."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

from instrument.errors import IntegrityError
from instrument.protocols import Damage, Verification
from instrument_local.copying import Told, nobody
from instrument_local.files import open_below
from instrument_local.layout import Layout

_MANY: Final = 10_000
_MOVED: Final = re.compile(r"^\S+ (?=holds|is damaged)")


class Findings:
    """Collects what is wrong, and what has to be there because something refers to it.

    Args:
        layout: Where the store keeps things.
        told: Called with the number of bytes that were read, again and again, from any thread.
    """

    def __init__(self, layout: Layout, told: Told = nobody) -> None:
        self.told = told
        self._layout = layout
        self._problems: list[Damage] = []
        self._unreadable = set[tuple[Path, str]]()
        self.damaged = 0
        self.runs = 0
        self.objects = 0
        self._size_bytes = 0
        self.wanted: dict[str, Path] = {}

    @property
    def size_bytes(self) -> int:
        """How many bytes were read."""
        return self._size_bytes

    @size_bytes.setter
    def size_bytes(self, value: int) -> None:
        self.told(value - self._size_bytes)
        self._size_bytes = value

    def hashed(self, size_bytes: int) -> None:
        """Count bytes that were told already, as they were read."""
        self._size_bytes += size_bytes

    def add(
        self,
        kind: str,
        path: Path,
        expected: str | None,
        found: str | None,
        severity: Literal["damage", "note"] = "damage",
    ) -> None:
        """Note down one finding."""
        relative = self._layout.relative(path)
        damage = Damage(kind=kind, path=relative, expected=expected, found=found, severity=severity)
        self._problems.append(damage)
        self.damaged += severity == "damage"

    def missing(
        self,
        kind: str,
        numbers: Iterable[int],
        path_of: Callable[[int], Path],
        expected: str = "a file",
    ) -> None:
        """Note down each number below the highest of `numbers` that is not among them.

        Of very many in a row the first tells of all: one stray file can have any number.
        """
        before = 0
        for number in sorted(numbers):
            gap = range(before + 1, number)
            before = number
            if len(gap) > _MANY:
                others = f"nothing; nor the {len(gap) - 1:,} up to {path_of(gap[-1]).name}"
                self.add(kind, path_of(gap[0]), expected, others)
                continue
            for each in gap:
                self.add(kind, path_of(each), expected, "nothing")

    def want(self, digest: str | None, referrer: Path) -> None:
        """The object `digest` must be there, since the file `referrer` says so."""
        if digest is not None:
            self.wanted.setdefault(digest, referrer)

    def read(self, path: Path) -> bytes:
        """The bytes of `path`, counted."""
        with os.fdopen(open_below(self._layout.root, path), "rb") as stream:
            data = stream.read()
        self.size_bytes += len(data)
        return data

    @contextmanager
    def reading(
        self, kind: str, path: Path, severity: Literal["damage", "note"] = "damage"
    ) -> Iterator[None]:
        """Read and check `path` in a block; what goes wrong there is a finding of `kind`."""
        try:
            yield
        except IntegrityError as error:
            self.add(
                kind, path, "content that matches its check", _MOVED.sub("", str(error)), severity
            )
        except FileNotFoundError:
            self.add(kind, path, "a file", "nothing", severity)
        except OSError as error:
            if (path, severity) not in self._unreadable:  # several checks come upon it
                self._unreadable.add((path, severity))
                found = (error.strerror or str(error)) + _whose(error)
                self.add("unreadable", path, "a readable file", found, severity)

    def result(self) -> Verification:
        """The outcome."""
        return Verification(
            ok=all(problem.severity == "note" for problem in self._problems),
            runs=self.runs,
            objects=self.objects,
            size_bytes=self.size_bytes,
            problems=tuple(self._problems),
        )


def _whose(error: OSError) -> str:
    """Whose file it is, where that is why it may not be read."""
    if isinstance(error, PermissionError) and error.filename is not None:
        with suppress(OSError):
            owner, us = os.lstat(error.filename).st_uid, os.geteuid()
            if owner != us:
                return f": it belongs to user {owner}, and you are user {us}"
    return ""
