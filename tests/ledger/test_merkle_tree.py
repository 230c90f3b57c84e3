"""The tree against pymerkle, every proof against every other place, and what must be refused."""

from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from instrument.errors import IntegrityError
from instrument_local.ledger.tree import (
    EMPTY_ROOT,
    Range,
    Tree,
    leaf_hash,
    node_hash,
    root_from_inclusion,
    roots_from_consistency,
)

pymerkle = pytest.importorskip("pymerkle", reason="the oracle of roots and proofs")
SIZES = range(1, 34)
LEAVES = [leaf_hash(b"%d" % number) for number in range(max(SIZES))]


def test_the_root_is_the_oracles_at_every_size() -> None:
    oracle = pymerkle.InmemoryTree(algorithm="sha256")
    grown = Range()
    assert grown.root() == EMPTY_ROOT
    for number, leaf in enumerate(LEAVES):
        oracle.append_entry(b"%d" % number)
        grown.extend([leaf])
        assert grown.root() == oracle.get_root()
        assert Tree(LEAVES).root(number + 1) == oracle.get_root()


def test_proofs_are_the_oracles() -> None:
    oracle = pymerkle.InmemoryTree(algorithm="sha256")
    for number in range(max(SIZES)):
        oracle.append_entry(b"%d" % number)
    tree = Tree(LEAVES)
    for size in SIZES:
        for index in range(size):
            theirs = oracle.prove_inclusion(index + 1, size).serialize()["path"]
            assert [node.hex() for node in tree.inclusion(index, size)] == theirs[1:]


@given(st.lists(st.integers(0, 40), max_size=8))
def test_a_tree_that_grows_in_steps_is_the_one_that_grew_at_once(steps: list[int]) -> None:
    grown = Range()
    leaves: list[bytes] = []
    for step in steps:
        more = [leaf_hash(b"%d" % (len(leaves) + number)) for number in range(step)]
        grown.extend(more)
        leaves += more
        assert grown.root() == Tree(leaves).root()
        assert Range(grown.size, grown.peaks).root() == grown.root()


def test_an_inclusion_proof_holds_for_its_own_place_only() -> None:
    tree = Tree(LEAVES)
    for size in SIZES:
        for index in range(size):
            proof = tree.inclusion(index, size)
            root = tree.root(size)
            assert root_from_inclusion(index, size, LEAVES[index], proof) == root
            for other in range(size):
                if other != index:
                    assert _inclusion(other, size, LEAVES[index], proof) != root
            for wrong in ([*proof, bytes(32)], proof[:-1], proof[1:], proof[::-1]):
                if wrong != proof:
                    assert _inclusion(index, size, LEAVES[index], wrong) != root


def test_a_consistency_proof_holds_between_its_own_sizes_only() -> None:
    tree = Tree(LEAVES)
    for size in SIZES:
        for old in range(1, size + 1):
            proof = tree.consistency(old, size)
            before, after = tree.root(old), tree.root(size)
            assert roots_from_consistency(old, size, before, proof) == (before, after)
            for wrong_old in range(1, size + 1):
                if wrong_old != old:
                    assert _consistency(wrong_old, size, before, proof) != (before, after)
            for wrong in ([*proof, bytes(32)], proof[:-1], proof[1:]):
                if wrong != proof:
                    assert _consistency(old, size, before, wrong) != (before, after)
            assert len(proof) <= 2 * size.bit_length()


def test_a_tree_of_another_past_has_no_proof() -> None:
    forged = [*LEAVES[:5], leaf_hash(b"forged"), *LEAVES[6:]]
    for old in range(6, 33):
        proof = Tree(forged).consistency(old, 33)
        before, after = Tree(LEAVES).root(old), Tree(forged).root(33)
        assert _consistency(old, 33, before, proof) != (before, after)


def test_T53_an_entry_is_never_taken_for_an_inner_node() -> None:  # noqa: N802 - its id
    left, right = LEAVES[:2]
    inner = node_hash(left, right)
    assert leaf_hash(left + right) != inner
    assert leaf_hash(b"\x01" + left + right) != inner
    assert Tree([leaf_hash(left + right)]).root() != Tree([left, right]).root()


@pytest.mark.parametrize(
    ("size", "peaks"), [(1, []), (0, [bytes(32)]), (3, [bytes(32)]), (1, [bytes(31)]), (-1, [])]
)
def test_a_range_that_fits_no_tree_is_refused(size: int, peaks: list[bytes]) -> None:
    with pytest.raises(IntegrityError):
        Range(size, peaks)


def test_there_is_no_proof_of_what_is_not_there() -> None:
    tree = Tree(LEAVES[:4])
    for index, size in ((4, 4), (0, 0), (-1, 4), (0, 5)):
        with pytest.raises(IndexError):
            tree.inclusion(index, size)
    for old, size in ((0, 4), (5, 4), (1, 5)):
        with pytest.raises(IndexError):
            tree.consistency(old, size)
    for old, size in pairwise((0, 0, 5, 4)):
        assert _consistency(old, size, EMPTY_ROOT, []) is None or old == size
    assert _inclusion(4, 4, LEAVES[0], []) is None


def _inclusion(index: int, size: int, leaf: bytes, proof: list[bytes]) -> bytes | None:
    try:
        return root_from_inclusion(index, size, leaf, proof)
    except IntegrityError:
        return None


def _consistency(
    old: int, size: int, root: bytes, proof: list[bytes]
) -> tuple[bytes, bytes] | None:
    try:
        return roots_from_consistency(old, size, root, proof)
    except IntegrityError:
        return None
