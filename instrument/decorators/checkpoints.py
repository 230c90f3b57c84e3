"""`@checkpoint`: the state that a function gives back now and then becomes an artifact."""

import math
import threading
from typing import Any, Final, Literal, overload

from instrument.decorators.states import Found, as_states, find
from instrument.decorators.target import Aspect, Called
from instrument.decorators.wrapping import Decorator, F, decorator
from instrument.errors import UsageError

_FREQUENCIES: Final = ("epoch", "step")


class Progress:
    """How far one function has come in one run. Thread-safe."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.best: float | None = None
        self.warned: set[str] = set()
        self._count = 0
        self._lock = threading.Lock()

    def next(self) -> int:
        """The index of this epoch or step, from 0."""
        with self._lock:
            self._count += 1
            return self._count - 1

    def improves(self, value: float, mode: str) -> bool:
        """Whether `value` is the best so far; then it is from now on."""
        if math.isnan(value):
            return False
        with self._lock:
            best = self.best
            better = best is None or (value < best if mode == "min" else value > best)
            if better:
                self.best = value
            return better


class Checkpointing(Aspect):
    """Saves every `every`-th state and the best one.

    Args:
        every: 1 for each, 2 for every second, …
        save_best: Whether a state that is the best so far is saved in any case.
        metric: Which metric tells.
        mode: ``min`` or ``max``.

    Raises:
        UsageError: An argument is not usable.
    """

    rank = 2

    def __init__(self, every: int, *, save_best: bool, metric: str, mode: str) -> None:
        if mode not in {"min", "max"}:
            raise UsageError(f"mode={mode!r:.80} is unknown; use 'min' or 'max'")
        if not isinstance(metric, str):
            raise UsageError(f"metric={metric!r:.80} is not the name of a metric; use a string")
        self._every = every
        self._save_best = save_best
        self._metric = metric
        self._mode = mode

    def yielded(self, call: Called, value: Any) -> None:
        """A generator has done one epoch or step."""
        self._take(call, value)

    def after(self, call: Called, value: Any) -> None:
        """A function has done one; what a generator returns at its end is not one more."""
        if not call.target.is_stepwise:
            self._take(call, value)

    def _take(self, call: Called, value: Any) -> None:
        progress = self._progress(call)
        index = progress.next()
        found = find(value, self._metric)
        is_best = self._save_best and self._is_best(call, progress, found.metrics)
        if not is_best and (index + 1) % self._every:
            return
        if found.state is None:
            self._warn(call, progress, "save a checkpoint", _nothing_to_save(call, value))
            return
        about: dict[str, Any] = {
            "step": index,
            "metrics": found.metrics,
            "best": is_best,
            "kind": progress.kind,
        }
        if not self._save_all(call, progress, found, about):
            call.run.log_checkpoint(found.state, **about)

    def _save_all(
        self, call: Called, progress: Progress, found: Found, about: dict[str, Any]
    ) -> bool:
        """Save the state with all that was given beside it, where there is more and that works."""
        if found.whole is None:
            return False
        try:
            call.run.log_checkpoint(as_states(found.whole), **about)
        except UsageError as error:
            self._warn(call, progress, "keep more of a checkpoint than the model", error)
            return False
        return True

    def _is_best(self, call: Called, progress: Progress, metrics: dict[str, float]) -> bool:
        if self._metric in metrics:
            return progress.improves(metrics[self._metric], self._mode)
        known = ", ".join(metrics) or "none"
        error = UsageError(
            f"{call.target.name} gave no metric {self._metric!r} (it gave: {known}); "
            "name one with @checkpoint(metric=…) or set save_best=False"
        )
        self._warn(call, progress, "tell the best checkpoint", error)
        return False

    def _progress(self, call: Called) -> Progress:
        """Of this function in this run; the first function's checkpoints are called ``model``."""
        memory, name = call.memory, call.target.name
        first = memory.setdefault("checkpoints", name) == name
        kind = "model" if first else f"model-{call.target.short_name.strip('<>')}"
        progress: Progress = memory.setdefault(("checkpoints", name), Progress(kind))
        return progress

    def _warn(self, call: Called, progress: Progress, doing: str, error: UsageError) -> None:
        """Tell once for each function and run: it would be the same each time."""
        if doing not in progress.warned:
            progress.warned.add(doing)
            call.run.problem(doing, error)


@overload
def checkpoint(function: F, /) -> F: ...
@overload
def checkpoint(
    *,
    frequency: Literal["epoch", "step"] | int = "epoch",
    save_best: bool = True,
    metric: str = "loss",
    mode: Literal["min", "max"] = "min",
) -> Decorator: ...
def checkpoint(
    function: Any = None,
    /,
    *,
    frequency: Literal["epoch", "step"] | int = "epoch",
    save_best: bool = True,
    metric: str = "loss",
    mode: Literal["min", "max"] = "min",
) -> Any:
    """Save what a training function gives back as checkpoints of the run.

    Decorate the function that does *one* epoch (or step) and is called in a loop, and return the
    model and its metrics; or a generator that does the whole training and yields them each time:

        @checkpoint(metric="accuracy", mode="max")
        def train_epoch(model, loader):
            ...
            return model, {"loss": loss, "accuracy": accuracy}

        @checkpoint(frequency=100, metric="loss")
        def train(model, loader):
            for batch in loader:
                ...
                yield model, {"loss": loss}

    Each call (of a generator: each ``yield``) counts as one, from 0, for each run and function. The
    caller gets what was returned or yielded, unchanged. The value is one of

    - ``(state, metrics)``: the model or state dict, and a dict of numbers or one number, which is
      then the `metric`; in either order;
    - a dict or an object with the state under ``model``, ``state_dict``, ``model_state_dict``,
      ``state`` or ``checkpoint``, and the metrics under ``metrics`` or beside it;
    - the model or state dict alone (with ``save_best=False``).

    What else such a tuple or dict has, the state of an optimizer or of a random generator, is saved
    with the model: `ArtifactVersion.load` then gives a tuple or dict of the same form, in which the
    state dict of each module, optimizer and scheduler stands for it. Where a part cannot be saved
    the model alone is, and that is told.

    A checkpoint is a version of the artifact ``checkpoint_model_<run id>``; the alias ``best``
    points to the best one. Its metrics are kept with it (`instrument runs show` tells them); they
    are no metrics of the run: for `instrument runs metrics` and ``--where`` call `log_metrics` too.
    (If several functions of a run save checkpoints, those of the second and later ones are called
    ``checkpoint_model-<function>_<run id>``.) With no open run a call opens one, so keep the loop
    inside a run, or use a generator.

    Args:
        function: The function, when used without parentheses.
        frequency: ``"epoch"`` and ``"step"`` save each time: they say what one call is. A number N
            saves every Nth time.
        save_best: Save also each state whose `metric` is the best so far.
        metric: Name of the metric that tells which is best.
        mode: ``"min"`` when less is better, ``"max"`` when more is.

    Raises:
        UsageError: An argument is not usable, or what is decorated is not a function.
    """
    aspect = Checkpointing(_every(frequency), save_best=save_best, metric=metric, mode=mode)
    return decorator("checkpoint", function, aspect, {})


def _every(frequency: Any) -> int:
    """Which calls save: each, or every so many."""
    every = 1 if frequency in _FREQUENCIES else frequency
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise UsageError(f"frequency={frequency!r:.80} is unknown; use 'epoch', 'step' or a number")
    return every


def _nothing_to_save(call: Called, value: Any) -> UsageError:
    return UsageError(
        f"{call.target.name} gave a {type(value).__name__} without a model or state dict in it; "
        "return (model, metrics)"
    )
