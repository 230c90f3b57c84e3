"""Which load an object comes from, as long as the object lives."""

import os
import weakref
from typing import Any, Final, NamedTuple

from instrument.intercept.content import Content
from instrument.intercept.weights import Weights, weights_of


class Origin(NamedTuple):
    """The load that made an object.

    Attributes:
        load_id: Its number.
        requested: What it was asked for.
        content: Its content.
        process: The process it was made in, which has its record.
        weights: As the load gave them; None where they cannot be looked at.
    """

    load_id: int
    requested: str | None
    content: Content
    process: int
    weights: Weights | None = None

    def facts(self) -> dict[str, Any]:
        """What is known of it now."""
        facts: dict[str, Any] = {"requested": self.requested, "digest": self.content.digest}
        if self.process == os.getpid():
            facts["load_id"] = self.load_id
        return {name: value for name, value in facts.items() if value is not None}


_known: Final[dict[int, tuple[weakref.ref[Any], Origin]]] = {}


def remember(made: object, load_id: int, requested: str | None, content: Content) -> None:
    """`made` is what a load made; what cannot be referred to weakly is not remembered."""
    key = id(made)
    try:
        reference = weakref.ref(made, lambda _: _known.pop(key, None))
    except TypeError:
        return
    _known[key] = reference, Origin(load_id, requested, content, os.getpid(), weights_of(made))


def origin_of(thing: object) -> Origin | None:
    """The load that made `thing`, or None."""
    found = _known.get(id(thing))
    return found[1] if found is not None and found[0]() is thing else None
