"""Waiting for a store, but not for ever.

On a network file system a call waits for as long as the server is away, and nothing can interrupt
it. So threads of our own make such calls, and whoever called them stops waiting after a while.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from instrument.errors import StoreError
from instrument_local.errands import Errand

RECORD_SECONDS: Final = 2.0
"""How long a record waits for its journal, and how long the end of a run waits for the store."""
CALL_SECONDS: Final = 60.0
"""How long an object, a version or an alias waits for the store: a slow one is no dead one."""
BYTES_A_SECOND: Final = 1_000_000
"""What is added for large objects."""
T = TypeVar("T")


class Patience:
    """Makes calls to the store at `root` that may hang.

    While a call that was given up on has not come back, no other is made: it would wait as well.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._given_up: list[Errand[Any]] = []

    def call(self, seconds: float, function: Callable[..., T], *arguments: Any) -> T:
        """What `function` returns or raises, within `seconds`.

        Raises:
            StoreError: The store does not answer; the call goes on by itself.
        """
        self._given_up = [errand for errand in self._given_up if not errand.has_ended]
        if self._given_up:
            raise StoreError(f"the store {self._root} does not answer since an earlier call")
        errand = Errand(lambda: function(*arguments))
        if not errand.wait(seconds):
            self._given_up.append(errand)
            raise StoreError(f"the store {self._root} has not answered for {seconds:g} seconds")
        if errand.error is not None:
            raise errand.error
        return cast("T", errand.result)


def seconds_for(size_bytes: int) -> float:
    """How long to wait for an object of that size."""
    return CALL_SECONDS + size_bytes / BYTES_A_SECOND
