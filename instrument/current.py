"""The run that code belongs to without being told, and the functions that speak to it."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from instrument import settings, stack
from instrument.context import ExperimentContext
from instrument.errors import UsageError
from instrument.handover import Handover, received
from instrument.recording import Identity, at_process_end
from instrument.records import ArtifactVersion, RunState

if TYPE_CHECKING:
    from instrument.artifacts import Artifact

_parts: dict[int, "TakingPart"] = {}


class TakingPart(ExperimentContext):
    """The run of the parent process, seen from a worker: not the worker's to name or to end.

    Args:
        handed: The run as the parent process handed it over.
    """

    def __init__(self, handed: Handover) -> None:
        super().__init__()
        self._handed = handed

    def start(self) -> Self:
        """Open a journal of this process's own, until the process ends."""
        self.state = RunState.RUNNING
        self._start_recording()
        at_process_end(self.finish)
        return self

    def _adopt(self) -> Identity:
        handed = self._handed
        return Identity(run_id=handed.run_id, attempt=handed.attempt, owner=False, started=None)


def current_run() -> ExperimentContext | None:
    """The open run that the calling code belongs to, or None.

    The run of this task or thread, of this process, or the one that the parent process handed over.
    """
    run = stack.innermost()
    if run is not None:
        return cast("ExperimentContext", run)
    part = _parts.get(os.getpid())
    if part is not None:
        return part
    handed = received()  # from now on this process hands the run over to its own children
    if handed is None or settings.is_disabled():
        return None
    part = _parts[os.getpid()] = TakingPart(handed).start()
    return part


def log_params(values: Mapping[str, Any] | object) -> None:
    """`ExperimentContext.log_params` of the current run."""
    _required("log_params").log_params(values)


def log_metrics(metrics: Mapping[str, Any], step: int | None = None) -> None:
    """`ExperimentContext.log_metrics` of the current run."""
    _required("log_metrics").log_metrics(metrics, step)


def log_artifact(  # noqa: PLR0913 - as the method
    name: str,
    type: str = "other",  # noqa: A002 - the field's usual name
    data: Any = None,
    file_path: str | Path | None = None,
    metadata: Mapping[str, Any] | None = None,
    parent_artifacts: Iterable[str] | None = None,
) -> ArtifactVersion:
    """`ExperimentContext.log_artifact` of the current run."""
    run = _required("log_artifact")
    return run.log_artifact(name, type, data, file_path, metadata, parent_artifacts)


def use_artifact(reference: str) -> "Artifact":
    """`ExperimentContext.use_artifact` of the current run."""
    return _required("use_artifact").use_artifact(reference)


def _required(function: str) -> ExperimentContext:
    run = current_run()
    if run is None and settings.is_disabled():
        return ExperimentContext()  # not started: it takes everything and records nothing
    if run is None:
        raise UsageError(
            f"{function} needs an open run: put the call inside `with ExperimentContext():` or a "
            "function decorated with @reproducible"
        )
    return run
