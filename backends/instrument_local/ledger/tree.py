"""The Merkle tree of RFC 6962, section 2.1: hashes, roots, proofs, and how proofs are checked.

    leaf = SHA-256(0x00 ‖ entry)        node = SHA-256(0x01 ‖ left ‖ right)

The two prefixes keep an entry from being taken for an inner node. A tree over n entries is split at
the largest power of two below n. Nothing here knows what an entry is.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

from instrument.errors import IntegrityError

EMPTY_ROOT: Final = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Hash of an entry."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


class Range:
    """A tree that only grows, as the roots of its perfect subtrees: all that its root needs.

    Args:
        size: Number of entries.
        peaks: Roots of the perfect subtrees, the largest first: one for each bit of `size`.

    Raises:
        IntegrityError: `peaks` cannot be those of a tree of `size` entries.
    """

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if size < 0 or len(peaks) != size.bit_count() or any(len(peak) != 32 for peak in peaks):  # noqa: PLR2004 - SHA-256
            raise IntegrityError(f"{len(peaks)} subtrees do not make a tree of {size} entries")
        self.size = size
        self.peaks = list(peaks)

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Append entries, given by their hashes. Costs two hashes an entry at most."""
        nodes, level, size, peaks = list(leaves), 0, self.size, []
        self.size += len(nodes)
        while nodes or size:
            if size & 1:
                nodes.insert(0, self.peaks.pop())
            if len(nodes) & 1:
                peaks.append(nodes.pop())
            nodes = pair_up(nodes)
            size >>= 1
            level += 1
        self.peaks = peaks[::-1]

    def root(self) -> bytes:
        """The root of the tree."""
        if not self.peaks:
            return EMPTY_ROOT
        *rest, root = self.peaks
        for peak in reversed(rest):
            root = node_hash(peak, root)
        return root

    def copy(self) -> "Range":
        """The same tree, to grow apart."""
        return Range(self.size, self.peaks)


def pair_up(nodes: Sequence[bytes]) -> list[bytes]:
    """The level above `nodes`, of which there is an even number."""
    return [sha256(b"\x01" + a + b).digest() for a, b in zip(nodes[::2], nodes[1::2], strict=True)]


class Tree:
    """A whole tree in memory, to make proofs from.

    Args:
        leaves: Hashes of all entries.
    """

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.size = len(leaves)
        self._levels = [list(leaves)]
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            self._levels.append(pair_up(below[: len(below) & ~1]))

    def root(self, size: int | None = None) -> bytes:
        """The root of the tree as it was with `size` entries."""
        size = self.size if size is None else size
        return self._subtree(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """Proof that entry `index` is in the tree of `size` entries, from its sibling upwards."""
        start, end, path = 0, self.size if size is None else size, []
        if not start <= index < end <= self.size:
            raise IndexError(f"there is no entry {index} in a tree of {end}")
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                path.append(self._subtree(middle, end))
                end = middle
            else:
                path.append(self._subtree(start, middle))
                start = middle
        return path[::-1]

    def consistency(self, old: int, size: int | None = None) -> list[bytes]:
        """Proof that the tree of `old` entries is the beginning of the one of `size` entries."""
        start, end, path, whole = 0, self.size if size is None else size, [], True
        if not 0 < old <= end <= self.size:
            raise IndexError(f"there is no tree of {old} entries in one of {end}")
        while old != end:
            middle = start + _split(end - start)
            if old <= middle:
                path.append(self._subtree(middle, end))
                end = middle
            else:
                path.append(self._subtree(start, middle))
                start, whole = middle, False
        return path[::-1] if whole else [self._subtree(start, end), *path[::-1]]

    def _subtree(self, start: int, end: int) -> bytes:
        """Root over the entries from `start`, which stands where the tree is split, to `end`."""
        size = end - start
        level = size.bit_length() - 1
        if size == 1 << level:
            return self._levels[level][start >> level]
        middle = start + _split(size)
        return node_hash(self._subtree(start, middle), self._subtree(middle, end))


def root_from_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """The root that `proof` leads to from entry `index`, whose hash is `leaf`.

    Raises:
        IntegrityError: `proof` cannot belong to that place.
    """
    if not 0 <= index < size:
        raise IntegrityError(f"there is no entry {index} in a tree of {size}")
    last, root = size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise IntegrityError("the proof has more hashes than the tree has levels")
        if index & 1 or index == last:
            root = node_hash(sibling, root)
            while index & 1 == 0 and index:
                index, last = index >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        index, last = index >> 1, last >> 1
    if last:
        raise IntegrityError("the proof has fewer hashes than the tree has levels")
    return root


def roots_from_consistency(
    old: int, size: int, old_root: bytes, proof: Sequence[bytes]
) -> tuple[bytes, bytes]:
    """The roots of the tree of `old` and of the one of `size` entries, as `proof` has them.

    Raises:
        IntegrityError: `proof` cannot be one between these sizes.
    """
    if not 0 < old <= size or (old == size and proof) or (old < size and not proof):
        raise IntegrityError(f"the proof is none between {old} and {size} entries")
    if old == size:
        return old_root, old_root
    nodes = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    index, last = old - 1, size - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    before = after = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            raise IntegrityError("the proof has more hashes than the tree has levels")
        if index & 1 or index == last:
            before, after = node_hash(node, before), node_hash(node, after)
            while index & 1 == 0 and index:
                index, last = index >> 1, last >> 1
        else:
            after = node_hash(after, node)
        index, last = index >> 1, last >> 1
    if last:
        raise IntegrityError("the proof has fewer hashes than the tree has levels")
    return before, after


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1
