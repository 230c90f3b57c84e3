"""The files of the ledger, and the one way in which they grow.

    ledger/entries/<first>-<count>.jsonl   entries, one a line; at most 1 024 a file
    ledger/heads/<size>.json               stamped: how many entries there are, and their tree

Files are never changed: the last one is replaced by a longer one, which begins with the same lines,
and the head by the next head; what is replaced goes when the new one is on the disk. The highest
head counts. Entries that it does not cover are what a crash left; their events still wait.
"""

import base64
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from instrument.errors import IntegrityError, StoreError
from instrument_local.files import read_file
from instrument_local.layout import Layout
from instrument_local.ledger.notes import Checkpoint
from instrument_local.ledger.tree import Range, leaf_hash
from instrument_local.stamps import stamp, unstamp

WIDTH: Final = 1024
_ENTRIES: Final = re.compile(r"([0-9]{12})-([0-9]{4})\.jsonl")
_HEAD: Final = re.compile(r"([0-9]{12})\.json")
_TRIES: Final = 5


class Head(msgspec.Struct, frozen=True):
    """Content of a head.

    Attributes:
        size: Number of entries.
        root: Root of their tree, base64.
        peaks: Roots of the tree's perfect subtrees, the largest first, base64.
    """

    size: int
    root: str
    peaks: tuple[str, ...]


class Block(NamedTuple):
    """A file of entries.

    Attributes:
        first: Index of its first entry.
        length: How many its name says it has.
        path: The file.
    """

    first: int
    length: int
    path: Path


class Log:
    """The ledger of one store, without a lock: who appends must hold the maintenance lock."""

    def __init__(self, layout: Layout) -> None:
        self._files = layout.files
        self._layout = layout
        self.entries = layout.root / "ledger/entries"
        self.heads = layout.root / "ledger/heads"

    @property
    def origin(self) -> str:
        """Id of the store, which is the origin of its checkpoints."""
        return self._layout.store_id or "none"

    def tree(self) -> Range:
        """The tree that the highest head tells of; an empty one where there is none.

        Raises:
            IntegrityError: The head is damaged.
        """
        for _ in range(_TRIES):
            path = max(self.head_paths(), default=None)
            if path is None:
                return Range()
            with suppress(FileNotFoundError):  # replaced since we looked
                return load_head(path)
        raise StoreError(f"{self.heads} changes faster than it can be read; try again")

    def checkpoint(self, tree: Range | None = None) -> Checkpoint:
        """The checkpoint of `tree`, or of the ledger as it is."""
        tree = self.tree() if tree is None else tree
        return Checkpoint(self.origin, tree.size, tree.root())

    def head_paths(self) -> list[Path]:
        """All heads, the lowest first."""
        return sorted(path for path in _listing(self.heads) if _HEAD.fullmatch(path.name))

    def blocks(self) -> list[Block]:
        """All files of entries; of those with one beginning the longest is the last."""
        matches = ((_ENTRIES.fullmatch(path.name), path) for path in _listing(self.entries))
        return sorted(Block(int(m[1]), int(m[2]), path) for m, path in matches if m)

    def read(self, start: int = 0, end: int | None = None) -> Iterator[list[bytes]]:
        """The entries from `start` to `end` (or the highest head), a block at a time.

        Raises:
            IntegrityError: Entries are missing.
        """
        end = self.tree().size if end is None else end
        while start < end:
            lines = self._block_lines(start - start % WIDTH)
            chosen = lines[start % WIDTH : end - start + start % WIDTH]
            if not chosen:
                raise IntegrityError(f"{self.entries} has no entry {start} of {end}")
            yield chosen
            start += len(chosen)

    def append(self, lines: Sequence[bytes]) -> Range:
        """Append entries; the tree that has them. On return they survive the machine's death."""
        tree = self.tree()
        self._files.make_durable_directory(self.entries)
        for chunk in _chunks(lines, tree.size % WIDTH):
            self._append_block(tree, chunk)
            tree = self.adopt(tree, chunk)
        return tree

    def adopt(self, tree: Range, lines: Sequence[bytes]) -> Range:
        """Write the head that covers `lines` too, which stand behind `tree` on the disk."""
        tree = tree.copy()
        tree.extend(map(leaf_hash, lines))
        self._files.make_durable_directory(self.heads)
        path = self.heads / f"{tree.size:012d}.json"
        if not self._files.publish(path, head_bytes(tree)):
            _expect(path, head_bytes(tree))
        self._drop_replaced(tree.size)
        return tree

    def beyond(self, size: int) -> list[bytes]:
        """The entries on the disk that a tree of `size` does not cover."""
        longest = {block.first: block for block in self.blocks()}
        found: list[bytes] = []
        for first in sorted(longest):
            if first + longest[first].length > size:
                found += read_lines(longest[first].path)[max(size - first, 0) :]
        return found

    def _block_lines(self, first: int) -> list[bytes]:
        for _ in range(_TRIES):
            longest = max(self._of_block(first), default=None)
            if longest is None:
                return []
            with suppress(FileNotFoundError):  # replaced since we looked
                return read_lines(longest)
        raise StoreError(f"{self.entries} changes faster than it can be read; try again")

    def _append_block(self, tree: Range, lines: Sequence[bytes]) -> None:
        filled = tree.size % WIDTH
        first = tree.size - filled
        before = self._block_lines(first)[:filled] if filled else []
        self._check_last(tree, before)
        whole = [*before, *lines]
        path = self.entries / f"{first:012d}-{len(whole):04d}.jsonl"
        data = b"".join(line + b"\n" for line in whole)
        if not self._files.publish(path, data):
            _expect(path, data)

    def _check_last(self, tree: Range, lines: Sequence[bytes]) -> None:
        """Nothing is built upon a block that is not what the head says."""
        filled = tree.size % WIDTH
        last = Range(filled, tree.peaks[len(tree.peaks) - filled.bit_count() :])
        found = Range()
        found.extend(map(leaf_hash, lines))
        if found.peaks != last.peaks:
            raise IntegrityError(
                f"the last entries in {self.entries} are not what the head says; nothing is added "
                "before somebody has looked: `instrument ledger verify` tells more"
            )

    def _drop_replaced(self, size: int) -> None:
        """Remove what the head of `size` entries replaces; what stays is no harm."""
        *replaced, _ = self._of_block((size - 1) // WIDTH * WIDTH)
        last = f"{size:012d}.json"
        for path in (*replaced, *(head for head in self.head_paths() if head.name < last)):
            with suppress(OSError):
                self._files.disk.unlink(path)

    def _of_block(self, first: int) -> list[Path]:
        """The files of one block, the longest last."""
        start = f"{first:012d}-"
        return sorted(
            path for path in _listing(self.entries, start) if _ENTRIES.fullmatch(path.name)
        )


def read_lines(path: Path) -> list[bytes]:
    """The entries in the file `path`.

    Raises:
        IntegrityError: Their number is not what the file's name says.
    """
    data = read_file(path)
    lines = data.split(b"\n")
    match = _ENTRIES.fullmatch(path.name)
    if lines.pop() or match is None or len(lines) != int(match[2]):
        raise IntegrityError(f"{path} holds {len(lines)} entries, not as many as its name says")
    return lines


def head_bytes(tree: Range) -> bytes:
    """The file of the head of `tree`."""
    head = Head(tree.size, _text(tree.root()), tuple(map(_text, tree.peaks)))
    return stamp(msgspec.json.encode(head))


def load_head(path: Path) -> Range:
    """The tree that the head in the file `path` tells of.

    Raises:
        IntegrityError: It is damaged.
        OSError: It cannot be read.
    """
    data = read_file(path)
    try:
        head = msgspec.json.decode(unstamp(data), type=Head)
        tree = Range(head.size, [base64.b64decode(peak, validate=True) for peak in head.peaks])
    except (
        msgspec.MsgspecError,
        RecursionError,
        UnicodeDecodeError,
        ValueError,
        IntegrityError,
    ) as error:
        raise IntegrityError(f"{path} is damaged: {error}") from error
    if head_bytes(tree) != data or path.name != f"{tree.size:012d}.json":
        raise IntegrityError(f"{path} is damaged: it holds the head of another tree")
    return tree


def _expect(path: Path, data: bytes) -> None:
    if read_file(path) != data:
        raise StoreError(f"{path} is there with other content; `instrument ledger verify` tells")


def _chunks(lines: Sequence[bytes], filled: int) -> Iterator[Sequence[bytes]]:
    """`lines` in parts that fill up one block after another, the first from `filled` on."""
    start, end = 0, WIDTH - filled
    while start < len(lines):
        yield lines[start:end]
        start, end = end, end + WIDTH


def _listing(directory: Path, start: str = "") -> list[Path]:
    """What is in `directory` under a name that begins with `start`."""
    try:
        names = os.listdir(directory)  # noqa: PTH208 - names are enough
    except FileNotFoundError:
        return []
    return [directory / name for name in names if name.startswith(start)]


def _text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
