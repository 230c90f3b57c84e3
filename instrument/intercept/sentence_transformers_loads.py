"""Loads by sentence-transformers: a model of several modules is one load."""

from collections.abc import Callable
from typing import Any, Final

from instrument.intercept.constructors import Constructor
from instrument.intercept.facts import known
from instrument.intercept.loads import Load, LoadCall, current_load
from instrument.intercept.targets import Target
from instrument.intercept.transformers_facts import commit_of


def _asked(load: Load, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
    revision = kwargs.get("revision")
    load.revision = str(revision)[:200] if revision is not None else None
    load.facts |= known(backend=kwargs.get("backend"))


def _describe(load: Load, model: Any) -> None:
    parameters = list(model.parameters())
    load.facts |= known(
        class_name=type(model).__qualname__,
        modules=[type(module).__qualname__ for module in model.children()],
        parameters=sum(parameter.numel() for parameter in parameters),
        dtype=str(parameters[0].dtype).removeprefix("torch.") if parameters else None,
        devices=sorted({str(parameter.device) for parameter in parameters}),
    )


_load: Final = Constructor(
    LoadCall(
        "model",
        lambda model: f"sentence_transformers.{type(model).__qualname__}",
        "model_name_or_path",
        begin=_asked,
        end=_describe,
    )
)


def _model(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """A model that is made of modules the program has is not loaded."""
    if args or kwargs.get("model_name_or_path"):
        _load(wrapped, instance, args, kwargs)
    else:
        wrapped(*args, **kwargs)


def _sees_files(
    wrapped: Callable[..., Any],
    instance: Any,  # noqa: ARG001 - as every `Around`
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """``load_file_path`` finds a file of a model, in its directory or in the cache of the hub."""
    found = wrapped(*args, **kwargs)
    load = current_load()
    if load is not None and isinstance(found, str):
        load.reads(found)
        load.commit = load.commit or commit_of(found)
    return found


TARGETS: Final = (
    Target("sentence_transformers.base.model", "BaseModel.__init__", _model),
    Target("sentence_transformers.util.file_io", "load_file_path", _sees_files),
)
