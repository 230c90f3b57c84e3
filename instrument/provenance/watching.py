"""Loads and calls that are seen by interception, within a run and without one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from instrument import intercept, registry, settings
from instrument.clock import SystemClock
from instrument.guard import one_line, say
from instrument.intercept import session
from instrument.intercept.directed import directed
from instrument.intercept.origins import origin_of
from instrument.intercept.weights import have_changed, weights_of
from instrument.protocols import Recorder
from instrument.records import Record

MAX_WAIT_SECONDS: Final = 3600.0
"""For the digest of what was loaded: a terabyte takes half of it."""


class Identified(NamedTuple):
    """What a load read, by content.

    Attributes:
        digest: As `ContentIdentified.digest`.
        reason: Why it is None, or what is in doubt.
        load_id: Number of the load, or None.
    """

    digest: str | None
    reason: str | None
    load_id: int | None


class _NoRun:
    """Takes what interception sees where no run is open; nothing of it is kept."""

    def record(self, record: Record) -> None:
        """See `Recorder`."""

    def problem(self, doing: str, error: BaseException) -> None:
        """See `Recorder`."""
        say(f"could not {doing}: {one_line(error)}")


@contextmanager
def watched() -> Iterator[Recorder]:
    """A block whose loads and calls are seen: by the run that is open, else by a stand-in."""
    found = session.find()
    if found is not None:
        yield found.recorder
        return
    store = registry.open_store("local", settings.resolve().store, SystemClock())
    alone = intercept.Destination(_NoRun(), store)
    with directed(alone):
        yield alone.recorder


def identified(loaded: object) -> Identified:
    """The content that `loaded` comes from; waits until it is hashed."""
    origin = origin_of(loaded)
    if origin is None:
        return Identified(
            None, "its load was not seen: docs/interception.md has the versions", None
        )
    if not origin.content.wait(MAX_WAIT_SECONDS):
        return Identified(None, f"not hashed after {MAX_WAIT_SECONDS:g} seconds", origin.load_id)
    return Identified(origin.content.digest, origin.content.reason, origin.load_id)


def was_changed(model: object) -> bool:
    """Whether its weights are no longer those of its load, as far as that can be seen."""
    origin = origin_of(model)
    if origin is None or origin.weights is None:
        return False
    now = weights_of(model)
    return now is not None and have_changed(origin.weights, now)


def last_settings(recorder: Recorder) -> dict[str, Any]:
    """The settings of the last call, as `GenerationCalled.settings` has them."""
    from instrument.intercept.generation import last_generation

    call = last_generation(recorder)
    if call is None or call.settings is None:
        reason = "the call was not seen: docs/interception.md has the versions"
        return {"settings": None, "settings_reason": reason}
    return dict(call.settings)
