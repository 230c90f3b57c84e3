"""What a disk may hold after the power was cut, worked out from a log of what was done to it.

`RecordingDisk` does what it is told and keeps a log. `Machine` replays the log and knows at every
moment what was synced and what was not. `crash_states` lists what may be left of it, by these
rules, which no file system breaks and few use to the full:

* what was written to a file and not synced may be there, or only the first part of it, or in its
  place zeroes;
* a name that was made, replaced or removed in a directory that was not synced since may be as it
  was before. Changes to one name keep their order; different names, and different directories, keep
  none. A rename within a directory is one change; between two directories it is two;
* a directory whose own name is lost is lost with everything in it.
"""

import hashlib
import itertools
import os
import random
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from instrument_local.files import Disk

FILE, DIRECTORY = "file", "directory"


class Killed(BaseException):
    """The process that used the disk is dead: none of its calls does anything any more."""


class Entry(NamedTuple):
    """What a name stands for: a file by its number, a directory by its path."""

    kind: str
    target: int | str


class Change(NamedTuple):
    """Names in one directory that change at once; None takes a name away."""

    directory: str
    names: tuple[tuple[str, Entry | None], ...]


class RecordingDisk(Disk):
    """Does everything but waiting for the disk, and keeps a log of it.

    Args:
        root: What lies outside is not recorded.
        log: Where the log goes on; a list of calls.
    """

    def __init__(self, root: Path, log: list[tuple[Any, ...]] | None = None) -> None:
        super().__init__()
        self.log: list[tuple[Any, ...]] = log if log is not None else []
        self.killed_at: int | None = None
        self._root = str(root)
        self._files: dict[int, int] = {}
        self._lock = threading.Lock()
        self._real = {name: getattr(self, name) for name in vars(Disk())}
        for name in self._real:  # but `utime`: when a file was touched is no promise
            setattr(self, name, getattr(self, f"_{name}", self._real[name]))

    def _note(self, *call: Any) -> None:
        with self._lock:
            if self.killed_at is not None and len(self.log) >= self.killed_at:
                raise Killed
            self.log.append(call)

    def _open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        self._note("nothing")
        fd: int = self._real["open"](path, flags, mode)
        number = sum(1 for call in self.log if call[0] == "create")
        self._files[fd] = number
        self.log.append(("create", number, self._relative(path)))
        return fd

    def _write(self, fd: int, data: bytes | bytearray | memoryview) -> int:
        self._note("write", self._files[fd], bytes(data))
        written: int = self._real["write"](fd, data)
        return written

    def _fsync(self, fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}")
        if path.is_dir():
            self._note("sync_directory", self._relative(path.readlink()))
        else:
            self._note("sync", self._files[fd])

    _fdatasync = _fsync

    def _close(self, fd: int) -> None:
        self._note("nothing")
        self._real["close"](fd)

    def _link(self, source: Path, target: Path) -> None:
        self._note("nothing")
        self._real["link"](source, target)
        self.log.append(("link", self._relative(source), self._relative(target)))

    def _rename(self, source: Path, target: Path) -> None:
        self._note("rename", self._relative(source), self._relative(target))
        self._real["rename"](source, target)

    def _unlink(self, path: Path) -> None:
        self._note("nothing")
        self._real["unlink"](path)
        self.log.append(("unlink", self._relative(path)))

    def _mkdir(self, path: Path, mode: int) -> None:
        self._note("nothing")
        self._real["mkdir"](path, mode)
        self.log.append(("mkdir", self._relative(path)))

    def _rmdir(self, path: Path) -> None:
        self._note("nothing")
        self._real["rmdir"](path)
        self.log.append(("unlink", self._relative(path)))

    def _relative(self, path: Path | str) -> str:
        return os.path.relpath(path, self._root)


class Content:
    """The bytes of a file: those that are synced, and those that were written since."""

    def __init__(self, synced: bytes = b"") -> None:
        self.synced = synced
        self.written: list[bytes] = []

    def variants(self) -> list[bytes]:
        """What the disk may hold of it, all of it first, nothing of what is not synced second."""
        new = b"".join(self.written)
        if not new:
            return [self.synced]
        first = len(self.written[0])
        found = [
            self.synced + new,
            self.synced,
            self.synced + new[: len(new) // 2],
            self.synced + new[:-1],
            self.synced + bytes(len(new)),
            self.synced + bytes(first) + new[first:],
        ]
        return list(dict.fromkeys(found))


Tree = dict[str, bytes | None]
"""Path to content; None for a directory."""


class Machine:
    """A disk, as the log leaves it."""

    def __init__(self) -> None:
        self.files: dict[int, Content] = {}
        self.names: dict[str, dict[str, Entry]] = {"..": {}}  # what is synced, by directory
        self.changes: list[Change] = []  # what is not

    @classmethod
    def holding(cls, root: Path) -> "Machine":
        """One on which everything below `root` is synced."""
        machine = cls()
        machine.names[".."] = {root.name: Entry(DIRECTORY, ".")}
        numbers: dict[int, int] = {}
        for directory, directories, files in os.walk(root):
            here = os.path.relpath(directory, root)
            names = machine.names.setdefault(here, {})
            for name in directories:
                names[name] = Entry(DIRECTORY, os.path.normpath(f"{here}/{name}"))
            for name in files:
                path = Path(directory, name)
                number = numbers.setdefault(path.stat().st_ino, -1 - len(numbers))
                machine.files[number] = Content(path.read_bytes())
                names[name] = Entry(FILE, number)
        return machine

    def do(self, call: tuple[Any, ...]) -> None:
        """Replay one call of the log."""
        match call:
            case ("create", number, path):
                self.files[number] = Content()
                self._change(path, Entry(FILE, number))
            case ("write", number, data):
                self.files[number].written.append(data)
            case ("sync", number):
                content = self.files[number]
                content.synced, content.written = content.variants()[0], []
            case ("link", source, target):
                self._change(target, self._entry(source))
            case ("unlink", path):
                self._change(path, None)
            case ("rename", source, target):
                self._rename(source, target)
            case ("mkdir", path):
                self.names[path] = {}
                self._change(path, Entry(DIRECTORY, path))
            case ("sync_directory", path):
                self._sync(path)

    def _change(self, path: str, entry: Entry | None) -> None:
        directory, name = _split(path)
        self.changes.append(Change(directory, ((name, entry),)))

    def _rename(self, source: str, target: str) -> None:
        entry = self._entry(source)
        (from_directory, from_name), (to_directory, to_name) = _split(source), _split(target)
        if from_directory == to_directory:
            self.changes.append(Change(to_directory, ((to_name, entry), (from_name, None))))
        else:
            self._change(target, entry)
            self._change(source, None)

    def _sync(self, directory: str) -> None:
        names = self.names.setdefault(directory, {})
        for change in self.changes:
            if change.directory == directory:
                _apply(names, change)
        self.changes = [each for each in self.changes if each.directory != directory]

    def _entry(self, path: str) -> Entry:
        directory, name = _split(path)
        names = dict(self.names.get(directory, {}))
        for change in self.changes:
            if change.directory == directory:
                _apply(names, change)
        return names[name]

    def tree(self, kept: frozenset[int], contents: dict[int, bytes]) -> Tree:
        """What is left when of the changes only those at the places `kept` came to the disk."""
        names = {directory: dict(found) for directory, found in self.names.items()}
        blocked: set[tuple[str, str]] = set()
        for place, change in enumerate(self.changes):
            touched = {(change.directory, name) for name, _ in change.names}
            if place in kept and not touched & blocked:
                _apply(names.setdefault(change.directory, {}), change)
            else:
                blocked |= touched
        tree: Tree = {}
        self._gather(names, "..", "", contents, tree)
        return tree

    def _gather(
        self,
        names: dict[str, dict[str, Entry]],
        directory: str,
        path: str,
        contents: dict[int, bytes],
        tree: Tree,
    ) -> None:
        for name, entry in names.get(directory, {}).items():
            if entry.kind == DIRECTORY:
                tree[f"{path}{name}"] = None
                self._gather(names, str(entry.target), f"{path}{name}/", contents, tree)
            else:
                number = int(entry.target)
                content = contents.get(number)
                whole = self.files[number].variants()[0]
                tree[f"{path}{name}"] = whole if content is None else content

    def crash_states(self, exhaustive: int, samples: int, seed: int) -> Iterator[Tree]:
        """What may be left after a crash now.

        Args:
            exhaustive: With at most so many changes every choice of them is tried.
            samples: So many random choices are tried beside the systematic ones.
            seed: For those.
        """
        places = range(len(self.changes))
        everything, nothing = frozenset(places), frozenset[int]()
        loose = {n: found for n, c in self.files.items() if len(found := c.variants()) > 1}
        bare = {number: found[1] for number, found in loose.items()}
        zero = {number: found[min(4, len(found) - 1)] for number, found in loose.items()}
        choices = {everything, nothing}
        choices |= {everything - {place} for place in places}
        choices |= {frozenset({place}) for place in places}
        choices |= {frozenset(range(length)) for length in places}
        if len(places) <= exhaustive:
            choices |= {
                frozenset(each)
                for length in places
                for each in itertools.combinations(places, length)
            }
        for kept in choices:
            for contents in ({}, bare, zero) if loose else ({},):
                yield self.tree(kept, contents)
        for number, found in loose.items():
            for content in found[1:]:
                yield self.tree(everything, {number: content})
        dice = random.Random(seed)
        for _ in range(samples if self.changes or loose else 0):
            kept = frozenset(place for place in places if dice.random() < 0.5)
            yield self.tree(kept, {number: dice.choice(found) for number, found in loose.items()})


def _apply(names: dict[str, Entry], change: Change) -> None:
    for name, entry in change.names:
        if entry is None:
            names.pop(name, None)
        else:
            names[name] = entry


def _split(path: str) -> tuple[str, str]:
    """Directory and name of `path`; the root itself, ``.``, lies in ``..``."""
    if path == ".":
        return "..", "store"
    directory, _, name = path.rpartition("/")
    return directory or ".", name


def fingerprint(tree: Tree) -> bytes:
    """What tells one tree from every other."""
    found = hashlib.sha256()
    for path in sorted(tree):
        content = tree[path]
        found.update(f"{path}\0{-1 if content is None else len(content)}\0".encode())
        found.update(content or b"")
    return found.digest()


def write_tree(tree: Tree, place: Path) -> None:
    """Let `place` hold `tree` and nothing else."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for path, content in tree.items():
        target = place / path
        if content is None:
            target.mkdir(mode=0o700)
        else:
            target.write_bytes(content)
            target.chmod(0o600)
