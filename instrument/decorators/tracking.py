"""`@track_artifacts`: what a function reads and what it makes, as artifacts with lineage."""

import os
import sys
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, overload

from instrument.decorators.target import Aspect, Called, Target
from instrument.decorators.wrapping import Decorator, F, decorator
from instrument.errors import UsageError
from instrument.given import Referring, references, texts
from instrument.naming import check_artifact_name, parse_reference
from instrument.vocabulary import ArtifactType

_TABLE_MODULES = frozenset({"pandas", "polars", "pyarrow", "datasets"})
_TYPES_BY_WORD = (
    ("metric", ArtifactType.METRICS),
    ("eval", ArtifactType.EVALUATION),
    ("checkpoint", ArtifactType.CHECKPOINT),
    ("model", ArtifactType.MODEL),
    ("dataset", ArtifactType.DATASET),
    ("config", ArtifactType.CONFIG),
)


class Tracking(Aspect):
    """Uses the inputs before the call and logs the outputs after it.

    Args:
        inputs: References of artifacts.
        outputs: Names of artifacts.
    """

    rank = 1

    def __init__(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        self._inputs = inputs
        self._outputs = outputs

    def check(self, target: Target) -> None:
        """An async generator has no return value, hence no outputs."""
        if self._outputs and target.is_async_generator:
            raise UsageError(
                f"{target.name} is an async generator, which returns nothing to name "
                f"{', '.join(self._outputs)}; use log_artifact inside it"
            )

    def before(self, call: Called) -> None:
        """Use the inputs; a wrong name is told before the function runs."""
        for reference in self._inputs:
            call.run.use_artifact(reference)

    def after(self, call: Called, value: Any) -> None:
        """Log each part of the return value; one that cannot be logged does not stop the others."""
        for name, part in self._parts(call, value):
            if part is None:
                is_dict = isinstance(value, Mapping) and name not in value
                what = "a dict without it" if is_dict else "None for it"
                missing = UsageError(f"{call.target.name} returned {what}")
                call.run.problem(f"log output {name!r}", missing)
                continue
            try:
                _log(call, name, part)
            except Exception as error:
                call.run.problem(f"log output {name!r}", error)

    def _parts(self, call: Called, value: Any) -> Iterable[tuple[str, Any]]:
        """The outputs by name, as far as `value` has them."""
        names = self._outputs
        if len(names) < 2:  # noqa: PLR2004 - one name is for the whole value
            return [(name, value) for name in names]
        if isinstance(value, Mapping):
            return [(name, value.get(name)) for name in names]
        if isinstance(value, (tuple, list)) and len(value) == len(names):
            return list(zip(names, value, strict=True))
        what = f"a {type(value).__name__}"
        if isinstance(value, (tuple, list)):
            what += f" of {len(value)}"
        mismatch = UsageError(
            f"{call.target.name} returned {what}; return {len(names)} values or a dict by name"
        )
        call.run.problem(f"log outputs {', '.join(names)}", mismatch)
        return []


@overload
def track_artifacts(function: F, /) -> F: ...
@overload
def track_artifacts(
    *, inputs: Referring | Iterable[Referring] = (), outputs: str | Iterable[str] = ()
) -> Decorator: ...
def track_artifacts(
    function: Any = None,
    /,
    *,
    inputs: Referring | Iterable[Referring] = (),
    outputs: str | Iterable[str] = (),
) -> Any:
    """Record what a function reads and makes; what it makes gets what it reads as parents.

        @track_artifacts(inputs=["dataset:v1"], outputs=["model", "metrics"])
        def train(config):
            ...
            return model, metrics

    One output name stands for the whole return value. Several names stand for the parts of a tuple
    or list of that length, or for the entries of a dict. Of a generator it is what its ``return``
    gives. A part that is None or cannot be stored, and a return value that does not fit the names,
    are put on the record and shown; the caller gets the value either way.

    With no open run a call opens one.

    Args:
        function: The function, when used without parentheses.
        inputs: References (``name``, ``name:v1``, ``name:best``) of the artifacts that it reads.
        outputs: Names of the artifacts that it returns.

    Raises:
        UsageError: A reference or name is not usable, or what is decorated is not a function.
        NotFoundError: On the call: an input does not exist; the function has not run. What the
            store could not take or has lost is a problem on the record, and the function runs.
    """
    inputs_given = references("inputs", inputs)
    names = texts("outputs", outputs)
    for reference in inputs_given:
        parse_reference(reference)
    for name in names:
        check_artifact_name(name)
    if len(set(names)) < len(names):
        raise UsageError(f"outputs={list(names)!r:.200} has a name twice; give each part its own")
    return decorator("track_artifacts", function, Tracking(inputs_given, names), {})


def _log(call: Called, name: str, value: Any) -> None:
    kind = guess_type(name, value)
    if isinstance(value, os.PathLike):
        call.run.log_artifact(name, kind, file_path=os.fspath(value))
    else:
        call.run.log_artifact(name, kind, data=value)


def guess_type(name: str, value: Any) -> ArtifactType:
    """The type of an artifact, told from its value, else from its name."""
    if is_model(value):
        return ArtifactType.MODEL
    if type(value).__module__.partition(".")[0] in _TABLE_MODULES:
        return ArtifactType.DATASET
    for word, kind in _TYPES_BY_WORD:
        if word in name.lower():
            return kind
    return ArtifactType.OTHER


def is_model(value: Any) -> bool:
    """Whether `value` is a torch module or a state dict; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    if isinstance(value, torch.nn.Module):
        return True
    if not isinstance(value, Mapping) or not value:
        return False
    parts = list(islice(value.values(), 10_000))
    if not all(isinstance(part, torch.Tensor) for part in parts):
        return False
    return any(part.dim() for part in parts)  # nothing but single numbers: those are metrics
