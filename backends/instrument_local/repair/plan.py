"""One step of a repair, before it is done."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Plan(NamedTuple):
    """A step that can be done.

    Attributes:
        path: The file it is about.
        kind: What is wrong with it.
        action: What will be done, in the past tense.
        detail: What it is about, for people.
        do: Does it; may raise `InstrumentError` or OSError. Doing it twice is harmless.
    """

    path: Path
    kind: str
    action: str
    detail: str
    do: Callable[[], object]
