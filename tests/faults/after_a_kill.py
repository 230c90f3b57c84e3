"""What `verify` may note in a store whose writers were killed."""

from typing import Final

from instrument.protocols import Store

# A last line that was cut off, and a version whose maker died before its journal had it.
_LEGAL: Final = {"torn_tail", "version_unrecorded"}


def noted(store: Store) -> list[str]:
    """The kinds of what is noted; anything else that is found is an error."""
    result = store.verify()
    assert result.ok, result.problems
    kinds = [problem.kind for problem in result.problems]
    assert set(kinds) <= _LEGAL, result.problems
    return kinds
