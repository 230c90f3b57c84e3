"""Models that are called: each that lives has a number, and is watched for changes."""

import time
import weakref
from collections.abc import Callable
from typing import Any, Final

from instrument.intercept.origins import origin_of
from instrument.intercept.weights import Weights, have_changed, weights_of

_SHARE: Final = 0.05
"""Of the time that the calls of a model take: for looking whether it was changed."""
_CHANGED: Final = "parameters were written to, added or replaced since the load"
_UNKNOWN: Final = "whether it was changed since the load is not known"


class CalledModel:
    """A model as it is since its load, or since it was seen to be changed.

    Args:
        model: The model; not kept alive.
        number: Tells it from any other, also from one that gets its address later.
        gone: Called when the model is.

    Attributes:
        seconds: What its calls took.
    """

    def __init__(self, model: Any, number: int, gone: Callable[[object], None]) -> None:
        self.number = number
        self.seconds = 0.0
        self._reference = weakref.ref(model, gone)
        self._class_name = type(model).__qualname__
        self._origin = origin_of(model)
        self._looked_seconds = 0.0
        self._watched: Weights | None = self._origin.weights if self._origin is not None else None
        self._doubt = self._look_at(model)
        if self._origin is not None and self._watched is None:
            self._doubt = _UNKNOWN
        elif self._doubt is not None:
            self._watched = None

    def is_surely(self, model: Any) -> bool:
        """Whether it is `model`, and need not be looked at now."""
        return self._reference() is model and (
            self._watched is None or self._looked_seconds > _SHARE * self.seconds
        )

    def is_still(self, model: Any) -> bool:
        """Whether it is `model`, with the same weights."""
        return self._reference() is model and self._look_at(model) is None

    def wait(self, seconds: float) -> None:
        """Wait until the digest is known, for at most `seconds`."""
        if self._origin is not None:
            self._origin.content.wait(seconds)

    def facts(self) -> dict[str, Any]:
        """What is known of it now, as `GenerationCalled.model`."""
        told: dict[str, Any] = {"class_name": self._class_name}
        if self._origin is not None:
            told |= self._origin.facts()
        if self._doubt is _CHANGED:
            told |= {"digest": None, "changed_since_load": True}
        elif self._doubt is not None:
            told |= {"changed_since_load": None}
        if self._doubt is not None:
            told["reason"] = self._doubt
        return told

    def _look_at(self, model: Any) -> str | None:
        """What is in doubt of its weights, where they are watched; None: nothing."""
        if self._watched is None:
            return None
        started = time.thread_time()
        now = weights_of(model)
        changed = now is not None and have_changed(self._watched, now)
        self._looked_seconds += time.thread_time() - started
        return _CHANGED if changed else _UNKNOWN if now is None else None
