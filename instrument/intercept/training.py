"""What a training is made with: optimizers, schedulers and loaders of torch, trainers.

Each is told as parameters when it is made, or when training begins: nothing is done for a step.
"""

import os
import weakref
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from instrument.capture.config import config_values
from instrument.intercept import session
from instrument.intercept.loads import problem
from instrument.intercept.targets import Around, Target
from instrument.records import Params

if TYPE_CHECKING:
    from instrument.protocols import Recorder

MAX_OF_A_KIND: Final = 8
"""Different ones of a kind that are told, in one process of a run."""
_MAX_GROUPS: Final = 8
_FACTS_OF_LOADERS: Final = (
    "batch_size",
    "drop_last",
    "num_workers",
    "persistent_workers",
    "pin_memory",
    "prefetch_factor",
    "timeout",
)
_Told = defaultdict[str, list[dict[str, Any]]]
_by_recorder: "weakref.WeakKeyDictionary[Recorder, _Told]" = weakref.WeakKeyDictionary()
os.register_at_fork(after_in_child=_by_recorder.clear)


def _around(kind: str, facts: Callable[[Any], dict[str, Any]], *, first: bool = False) -> Around:
    """What stands around a call that makes something.

    Args:
        kind: What it is; the first part of the parameters' names.
        facts: Its parameters.
        first: Tell before the call, which may last.
    """

    def around(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if first:
            _tell(kind, facts, instance)
        result = wrapped(*args, **kwargs)
        if not first:
            _tell(kind, facts, instance)
        return result

    return around


def _tell(kind: str, facts: Callable[[Any], dict[str, Any]], made: Any) -> None:
    found = session.find()
    if found is None:
        return
    try:
        told = _by_recorder.setdefault(found.recorder, defaultdict(list))[kind]
        if len(told) >= MAX_OF_A_KIND:
            return
        values = config_values({"class": type(made).__qualname__, **facts(made)})
        if values not in told:
            told.append(values)
            prefix = kind if len(told) == 1 else f"{kind}_{len(told)}"
            named = {f"{prefix}.{name}": value for name, value in values.items()}
            found.recorder.record(Params(values=named, source=type(made).__module__))
    except Exception as error:
        problem(f"record the parameters of the {kind}", error)


def _optimizer(optimizer: Any) -> dict[str, Any]:
    """Settings of an optimizer; of several groups those of each, and how much each has."""
    groups = [
        {name: value for name, value in group.items() if name != "params"}
        | {"parameters": sum(parameter.numel() for parameter in group["params"])}
        for group in optimizer.param_groups[:_MAX_GROUPS]
    ]
    if len(optimizer.param_groups) == 1:
        return groups[0]
    return {"groups": len(optimizer.param_groups)} | {
        f"group_{number}": group for number, group in enumerate(groups)
    }


def _scheduler(scheduler: Any) -> dict[str, Any]:
    """What a scheduler keeps of what it was made with."""
    return {
        name: value
        for name, value in vars(scheduler).items()
        if not name.startswith("_") and isinstance(value, (bool, int, float, str, list, tuple))
    }


def _loader(loader: Any) -> dict[str, Any]:
    facts = {name: getattr(loader, name, None) for name in _FACTS_OF_LOADERS}
    facts["sampler"] = type(loader.sampler).__qualname__
    facts["dataset"] = type(loader.dataset).__qualname__
    return _known(facts) | _length("examples", loader.dataset)


def _trainer(trainer: Any) -> dict[str, Any]:
    """The training arguments as the library writes them itself, without its tokens."""
    facts = _known(trainer.args.to_dict())
    facts["model"] = type(trainer.model).__qualname__
    return facts | _length("examples", trainer.train_dataset)


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _length(name: str, dataset: Any) -> dict[str, int]:
    with suppress(TypeError, NotImplementedError):
        return {name: len(dataset)}
    return {}


TARGETS: Final = (
    Target("torch.optim.optimizer", "Optimizer.__init__", _around("optimizer", _optimizer)),
    Target("torch.optim.lr_scheduler", "LRScheduler.__init__", _around("scheduler", _scheduler)),
    Target(
        "torch.optim.lr_scheduler",
        "ReduceLROnPlateau.__init__",
        _around("scheduler", _scheduler),
    ),
    Target("torch.utils.data.dataloader", "DataLoader.__init__", _around("dataloader", _loader)),
    Target("transformers.trainer", "Trainer.train", _around("trainer", _trainer, first=True)),
)
