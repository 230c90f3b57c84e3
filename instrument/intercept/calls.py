"""Calls of models of transformers: ``generate``, and pipelines of any task."""

import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from instrument.intercept import session
from instrument.intercept.chat_templates import last_template
from instrument.intercept.generation import Act, random_state, tally_of
from instrument.intercept.loads import error_text, problem
from instrument.intercept.origins import origin_of
from instrument.intercept.targets import Target

_POSITIONS: Final = (
    "inputs",
    "generation_config",
    "logits_processor",
    "stopping_criteria",
    "prefix_allowed_tokens_fn",
    "synced_gpus",
    "assistant_model",
    "streamer",
)
_OPTIONS: Final = frozenset(
    {
        "assistant_model",
        "custom_generate",
        "logits_processor",
        "negative_prompt_ids",
        "prefix_allowed_tokens_fn",
        "stopping_criteria",
        "streamer",
    }
)
_COUNTED_INPUTS: Final = frozenset({"input_ids", "inputs_embeds"})
_now: "ContextVar[Act | None]" = ContextVar("instrument_generating", default=None)
_pipeline: "ContextVar[_Pipeline | None]" = ContextVar("instrument_pipeline", default=None)


class _Pipeline:
    """A pipeline that calls its model; `generates` when it turns out that the model generates."""

    def __init__(self, task: str) -> None:
        self.task = task
        self.generates = False


def _generate(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """A generation, or of an assistant a part of one."""
    found = session.find() if _now.get() is None else None
    if found is None:
        return wrapped(*args, **kwargs)
    act = Act(instance, _name_of_call, found.recorder)
    (_measured(_prepare) if act.weight else _prepare)(act, args, kwargs)
    token = _now.set(act)
    try:
        result = wrapped(*args, **kwargs)
    except BaseException as error:
        _now.reset(token)
        _end(act, None, error)
        raise
    _now.reset(token)
    (_measured(_end) if act.weight else _end)(act, result)
    return result


def _measured(work: Callable[..., None]) -> Callable[..., None]:
    """`work` at a call of a model, whose time stands for that of other calls too."""

    def run(act: Act, *args: Any) -> None:
        with session.sample(act.recorder, act.weight):
            work(act, *args)

    return run


def _name_of_call(model: Any) -> str:
    return f"transformers.{type(model).__qualname__}.generate"


def _prepare(act: Act, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """What the arguments say beside the settings."""
    try:
        act.template = last_template()
        if len(args) > 1:
            kwargs = {**dict(zip(_POSITIONS, args, strict=False)), **kwargs}
        model, pipeline = vars(act.model), _pipeline.get()
        if pipeline is not None:
            pipeline.generates = True
            act.options = (("pipeline", pipeline.task),)
        if model.get("training"):
            act.options += (("training_mode", True),)
        if model.get("peft_config"):
            act.options += (("adapters", sorted(model["peft_config"])),)
        if not _OPTIONS.isdisjoint(kwargs):
            given = sorted(_OPTIONS.intersection(kwargs))
            act.options += tuple(
                (name, _told(kwargs[name])) for name in given if kwargs[name] is not None
            )
    except Exception as error:
        problem("read the arguments of generate", error)


def _told(option: Any) -> Any:
    """The class of an option, of several the classes; of a model the load too."""
    if isinstance(option, (list, tuple)):
        return [type(one).__qualname__ for one in option]
    if isinstance(option, str):
        return option[:200]
    if callable(option) and hasattr(option, "__qualname__"):
        return option.__qualname__
    origin = origin_of(option)
    name = type(option).__qualname__
    return name if origin is None else {"class_name": name, "load_id": origin.load_id}


def _settings(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """``_prepare_generation_config`` resolves the settings from everything that has a say."""
    resolved = wrapped(*args, **kwargs)
    act = _now.get()
    if act is not None and act.model is instance and act.pattern is None:
        try:
            (_measured(_resolve) if act.weight else _resolve)(act, resolved[0])
        except Exception as error:
            problem("read the settings of generate", error)
    return resolved


def _resolve(act: Act, config: Any) -> None:
    values = dict(vars(config))
    values.pop("transformers_version", None)
    act.values = values
    if values.get("do_sample"):
        act.random_state = random_state(everywhere=sys.modules["torch"])


def _lengths(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """``_prepare_generated_length`` knows the prompts, and how long the result may be."""
    act = _now.get()
    if act is None or act.model is not instance or act.pattern is not None:
        return wrapped(*args, **kwargs)
    try:
        default = kwargs["generation_config"].max_length
    except Exception:
        default = None
    result = wrapped(*args, **kwargs)
    try:
        (_measured(_begin) if act.weight else _begin)(act, kwargs, default, result.max_length)
    except Exception as error:
        problem("read the prompts of generate", error)
    return result


def _begin(act: Act, kwargs: dict[str, Any], default: int | None, limit: int | None) -> None:
    """The prompts; and the limit in new tokens, where that is what the library makes of it."""
    act.prompt_length = kwargs["input_ids_length"]
    shape = kwargs["inputs_tensor"].shape
    act.prompts = shape[0]
    if kwargs["model_input_name"] in _COUNTED_INPUTS:
        act.prompt_tokens = shape[0] * shape[1]
    values = act.values
    if values is not None:
        if values.get("max_new_tokens") is not None:
            values.pop("max_length", None)
        elif default is not None and limit is not None and limit > default:
            values["max_new_tokens"] = values.pop("max_length")
    tally_of(act.recorder).begin(act)


def _end(act: Act, result: Any, error: BaseException | None = None) -> None:
    recorder = act.recorder
    act.seconds = time.perf_counter() - act.started
    try:
        if error is not None:
            act.error = error_text(error)
        else:
            sequences = result if hasattr(result, "shape") else getattr(result, "sequences", None)
            if sequences is not None:
                rows, length = sequences.shape[:2]
                act.sequences = rows
                act.new_tokens = rows * max(length - act.prompt_length, 0)
        tally_of(recorder).end(act)
    except Exception as failure:
        recorder.problem("record a generation", failure)


def _forward(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """A pipeline gives a batch to its model: a call of its own, unless the model generates."""
    found = session.find()
    if found is None or _pipeline.get() is not None:
        return wrapped(*args, **kwargs)
    pipeline = _Pipeline(str(instance.task))
    token = _pipeline.set(pipeline)
    name = f"transformers.{type(instance).__qualname__}"
    act = Act(instance.model, lambda _: name, found.recorder)
    act.values = dict(kwargs)
    act.options = (("pipeline", pipeline.task),)
    error: BaseException | None = None
    try:
        return wrapped(*args, **kwargs)
    except BaseException as raised:
        error = raised
        raise
    finally:
        _pipeline.reset(token)
        if not pipeline.generates:
            inputs = args[0] if args else kwargs.get("model_inputs")
            (_measured(_end_batch) if act.weight else _end_batch)(act, inputs, error)


def _end_batch(act: Act, inputs: Any, error: BaseException | None) -> None:
    _count_inputs(act, inputs)
    _end(act, None, error)


def _count_inputs(act: Act, inputs: Any) -> None:
    """The rows of a batch, and their tokens where it has some."""
    try:
        tokens = inputs.get("input_ids") if hasattr(inputs, "get") else None
        if tokens is not None:
            act.prompts, length = tokens.shape[:2]
            act.prompt_tokens = act.prompts * length
    except Exception as error:
        problem("read the inputs of a pipeline", error)


TARGETS: Final = (
    Target("transformers.generation.utils", "GenerationMixin.generate", _generate),
    Target(
        "transformers.generation.utils", "GenerationMixin._prepare_generation_config", _settings
    ),
    Target("transformers.generation.utils", "GenerationMixin._prepare_generated_length", _lengths),
    Target("transformers.pipelines.base", "Pipeline.forward", _forward),
)
