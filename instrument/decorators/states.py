"""What a training function gives back: the state to save, the metrics, and what stands beside."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from instrument.decorators.tracking import is_model

_STATE_NAMES: Final = ("model", "state_dict", "model_state_dict", "state", "checkpoint")


class Found(NamedTuple):
    """What a returned or yielded value consists of.

    Attributes:
        state: What to save, or None when there is nothing.
        metrics: Numbers by name.
        whole: The parts of a value that has more than the state and metrics; see `as_states`.
    """

    state: Any
    metrics: dict[str, float]
    whole: Any = None


def find(value: Any, metric: str) -> Found:
    """The state and the metrics in what a function gave; see `checkpoint` for the forms.

    Args:
        value: What it returned or yielded.
        metric: The name of a number that stands alone.
    """
    if is_model(value):
        return Found(value, {})
    if isinstance(value, (tuple, list)):
        return _in_sequence(value, metric)
    if _is_metrics(value):
        return Found(None, _metrics(value, metric))
    entries = value if isinstance(value, Mapping) else getattr(value, "__dict__", {})
    state = next((entries[name] for name in _STATE_NAMES if entries.get(name) is not None), None)
    metrics = entries.get("metrics")
    numbers = _metrics(entries if metrics is None else metrics, metric)
    beside = (part for name, part in entries.items() if name != "metrics" and part is not state)
    if state is None or not isinstance(value, Mapping) or all(map(_is_metrics, beside)):
        return Found(state, numbers)
    return Found(state, numbers, entries)


def _in_sequence(parts: Sequence[Any], metric: str) -> Found:
    """A model is the state wherever it stands; else what cannot be metrics, or lacks the metric."""
    state = next((part for part in parts if is_model(part)), None)
    if state is None:
        state = next((part for part in parts if not _is_metrics(part)), None)
    if state is None and any(isinstance(part, Mapping) and metric in part for part in parts):
        others = (part for part in parts if isinstance(part, Mapping) and metric not in part)
        state = next(others, None)
    rest = [part for part in parts if part is not state]
    metrics = next((found for part in rest if (found := _metrics(part, metric))), {})
    if state is None or all(map(_is_metrics, rest)):
        return Found(state, metrics)
    return Found(state, metrics, tuple(p for p in parts if p is state or not _is_metrics(p)))


def as_states(whole: Any) -> Any:
    """A dict or tuple as it can be saved. Takes time: not for what is not to be saved."""
    if isinstance(whole, Mapping):
        return {name: _as_state(part) for name, part in whole.items()}
    return tuple(map(_as_state, whole))


def _as_state(part: Any) -> Any:
    """The state dict of a module, an optimizer or whatever else has one; any other part itself."""
    if isinstance(part, Mapping) or not callable(getattr(type(part), "state_dict", None)):
        return part
    if is_model(part):
        from instrument.artifacts.tensors import state_of

        return state_of(part)
    return part.state_dict()


def _is_metrics(value: Any) -> bool:
    """Whether `value` is a number, or a mapping of nothing but numbers; None counts as such."""
    if isinstance(value, Mapping):
        return len(_metrics(value, "")) == len(value)
    return value is None or _number(value) is not None


def _metrics(value: Any, metric: str) -> dict[str, float]:
    """The numbers in a mapping, or a number alone under the name `metric`."""
    values = value if isinstance(value, Mapping) else {metric: value}
    pairs = ((str(name), _number(part)) for name, part in values.items())
    return {name: number for name, number in pairs if number is not None}


def _number(value: Any) -> float | None:
    """`value` as a float if it is one number: Python's, numpy's or torch's, not a string."""
    if isinstance(value, (bool, str, bytes)) or getattr(value, "shape", ()) != ():
        return None
    try:
        return float(getattr(value, "detach", lambda: value)())
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
