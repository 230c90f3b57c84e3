"""Seeds that the program gives to libraries itself: the last of each library, and how often.

A program may seed in each step of a loop: a call costs microseconds, and few of them are told.

Generators that are values of the program (``numpy.random.default_rng(7)``) are not looked at: its
libraries make them too, with seeds of their own.
"""

import hashlib
import os
import sys
import threading
import weakref
from collections.abc import Callable
from numbers import Integral
from typing import Any, Final

from instrument.intercept import session
from instrument.intercept.targets import Around, Target
from instrument.protocols import Recorder
from instrument.records import SeedsRecorded
from instrument.vocabulary import GivenSeed

MAX_TOLD: Final = 8
"""Changes that are told at once, in one process of a run; later ones are told at the end."""
_NOT_GIVEN: Final = "none was given: the library took one from the system"
_SIXTY_FOUR_BITS: Final = range(-(2**63), 2**64)
_FIRST: Final = object()


class _Given:
    """The seeds that were given in one run."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may seed too
        self._last: dict[str, Any] = {}
        self._calls: dict[str, int] = {}
        self._untold: set[str] = set()
        self._left = MAX_TOLD

    def take(self, library: str, seed: Any, recorder: Recorder) -> None:
        """`library` was given `seed`: an integer as it is, else why there is none."""
        with self._lock:
            self._calls[library] = self._calls.get(library, 0) + 1
            self._untold.add(library)
            if self._last.get(library, _FIRST) != seed:
                self._last[library] = seed
                if self._left:
                    self._left -= 1
                    self.tell(recorder)

    def tell(self, recorder: Recorder) -> None:
        """Record what was given since it was told last."""
        with self._lock:
            given = {library: self._told(library) for library in sorted(self._untold)}
            self._untold.clear()
            if given:
                recorder.record(
                    SeedsRecorded(seed=None, set_in=(), states={}, flags={}, given=given)
                )

    def _told(self, library: str) -> GivenSeed:
        last, calls = self._last[library], self._calls[library]
        if isinstance(last, str):
            return GivenSeed(seed=None, reason=last, calls=calls)
        return GivenSeed(seed=last, calls=calls)


_by_recorder: "weakref.WeakKeyDictionary[Recorder, _Given]" = weakref.WeakKeyDictionary()
_process = os.getpid()
_was_forked = False


def begin() -> None:
    """A run is opened in this very process, and not in the one that it was forked from."""
    global _process  # noqa: PLW0603 - a fork copies it
    _process = os.getpid()


def complete(recorder: Recorder) -> None:
    """Tell what is not told yet of the run that is about to end."""
    given = _by_recorder.pop(recorder, None)
    if given is not None:
        given.tell(recorder)


def _seeding(library: str, parameter: str) -> Around:
    """What stands around a function that seeds `library`, by its first `parameter`."""

    def around(
        wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        result = wrapped(*args, **kwargs)
        _take(library, args[0] if args else kwargs.get(parameter))
        return result

    return around


def _take(library: str, seed: Any) -> None:
    # Python itself seeds `random` in each process that is forked, and maybe before it is told there
    # that the journal at hand is the parent's.
    if os.getpid() != _process:
        return
    found = session.find()
    if found is None or (not found.owner and _is_worker()):
        return
    try:
        given = _by_recorder.get(found.recorder)
        if given is None:
            given = _by_recorder.setdefault(found.recorder, _Given())
        given.take(library, _known(seed), found.recorder)
    except Exception as error:
        found.recorder.problem("record a seed", error)


def _known(seed: Any) -> int | str:
    """The seed where it is an integer of 64 bits; else what it is: never its text."""
    if seed is None:
        return _NOT_GIVEN
    if isinstance(seed, Integral) and int(seed) in _SIXTY_FOUR_BITS:
        return int(seed)
    kind = f"of type {type(seed).__name__}"
    content = _content(seed)
    return kind if content is None else f"{kind}, sha256:{hashlib.sha256(content).hexdigest()}"


def _content(seed: Any) -> bytes | None:
    """What the digest of a seed is made of; None where nothing says what it is."""
    if isinstance(seed, (bytes, bytearray)):
        return bytes(seed)
    if isinstance(seed, str):
        return seed.encode(errors="surrogatepass")
    if hasattr(seed, "tobytes"):
        content: bytes = seed.tobytes()
        return content
    return repr(seed).encode() if isinstance(seed, (Integral, float, list, tuple)) else None


def _is_worker() -> bool:
    """Whether the program started this process to work for it, with seeds of its own."""
    processes: Any = sys.modules.get("multiprocessing.process")
    return _was_forked or (processes is not None and processes.parent_process() is not None)


def _after_fork_in_child() -> None:
    global _was_forked  # noqa: PLW0603 - one process has one origin
    _was_forked = True
    _by_recorder.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)

TARGETS: Final = (
    Target("random", "seed", _seeding("random", "a")),
    Target("numpy.random", "seed", _seeding("numpy", "seed")),
    Target("torch.random", "manual_seed", _seeding("torch", "seed")),
)
