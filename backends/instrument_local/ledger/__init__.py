"""The ledger: a Merkle tree over everything that closed, changed or removed something.

Whoever does such a thing notes it down (`pending`); whoever maintains the store later takes the
notes into the tree. A checkpoint, the tree's size and root, stands for all that came before it.
"""
