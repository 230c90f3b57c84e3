"""Models that are called: each that lives has a number, and is watched for changes."""

import weakref
from collections.abc import Callable
from typing import Any, Final

from instrument.intercept.origins import origin_of
from instrument.intercept.weights import Weights, have_changed, weights_of

_CHANGED: Final = "parameters were written to, added or replaced since the load"
_UNKNOWN: Final = "whether it was changed since the load is not known"


class CalledModel:
    """A model as it is since its load, or since it was seen to be changed.

    Args:
        model: The model; not kept alive.
        number: Tells it from any other, also from one that gets its address later.
        gone: Called when the model is.
    """

    def __init__(self, model: Any, number: int, gone: Callable[[object], None]) -> None:
        self.number = number
        self._reference = weakref.ref(model, gone)
        self._class_name = type(model).__qualname__
        self._origin = origin_of(model)
        self._watched: Weights | None = self._origin.weights if self._origin is not None else None
        self._doubt = self._look_at(model)
        if self._origin is not None and self._watched is None:
            self._doubt = _UNKNOWN
        elif self._doubt is not None:
            self._watched = None

    def is_surely(self, model: Any) -> bool:
        """Whether it is `model`, and need not be looked at."""
        return self._reference() is model and self._watched is None

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
        now = weights_of(model)
        if now is None:
            return _UNKNOWN
        return _CHANGED if have_changed(self._watched, now) else None
