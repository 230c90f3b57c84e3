"""The run that code belongs to without being told, and the functions that speak to it."""

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from instrument import handover, settings, stack
from instrument.context import ExperimentContext
from instrument.errors import UsageError
from instrument.exits import at_process_end
from instrument.given import Referring
from instrument.guard import say
from instrument.handover import Handover, received
from instrument.identity import Identity, part_of
from instrument.protocols import Store
from instrument.vocabulary import ArtifactVersion, RunState

if TYPE_CHECKING:
    from instrument.artifacts import Artifact

_parts: dict[int, "TakingPart"] = {}
_told: set[str] = set()
_lock = threading.Lock()
_innermost = cast("Callable[[], ExperimentContext | None]", stack.innermost)


class TakingPart(ExperimentContext):
    """The run of the parent process, seen from a worker: not the worker's to name or to end.

    Args:
        handed: The run as the parent process handed it over.
    """

    def __init__(self, handed: Handover) -> None:
        super().__init__(store=handed.store)
        self._handed = handed

    def start(self) -> Self:
        """Open a journal of this process's own, until the run or the process ends."""
        self.state = RunState.RUNNING
        ExperimentContext.part = self
        self._start_recording()
        return self

    def _identity(self, store: Store | None) -> Identity:  # noqa: ARG002 - it is known
        return part_of(self._handed)


def current_run() -> ExperimentContext | None:
    """The open run that the calling code belongs to, or None.

    The run of this task or thread, of this process, or the one that the parent process handed over.
    A worker that outlives that run goes on in the one that its parent has open now, if it has
    exactly one.
    """
    run = _innermost()
    if run is not None:
        return run
    part = _parts.get(os.getpid())
    return part if part is not None and _is_open(part) else _take_part()


def _take_part() -> TakingPart | None:
    """This process's part in the run that was handed over, if one was and is open."""
    with _lock:
        pid = os.getpid()
        part = _parts.get(pid)
        if part is not None and _is_open(part):  # another thread was first
            return part
        if part is not None:
            part.finish()
        handed = received()
        if handed is None or settings.is_disabled():
            return None
        if part is None:
            at_process_end(_finish_part)
        _parts[pid] = TakingPart(handed).start()
        return _parts[pid]


def _is_open(part: TakingPart) -> bool:
    return part.state is RunState.RUNNING and not part.is_over()


def _finish_part() -> None:
    part = _parts.get(os.getpid())
    if part is not None:
        part.finish()


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - the parent's may be held by a thread that is not here
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)


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
    parent_artifacts: Referring | Iterable[Referring] | None = None,
    *,
    pickle: bool = False,
) -> ArtifactVersion:
    """`ExperimentContext.log_artifact` of the current run."""
    run = _required("log_artifact")
    return run.log_artifact(name, type, data, file_path, metadata, parent_artifacts, pickle=pickle)


def use_artifact(reference: Referring, version: int | str | None = None) -> "Artifact":
    """`ExperimentContext.use_artifact` of the current run."""
    return _required("use_artifact").use_artifact(reference, version)


def _required(function: str) -> ExperimentContext:
    run = current_run()
    if run is not None:
        return run
    if settings.is_disabled():
        return ExperimentContext()  # not started: it takes everything and records nothing
    why = handover.employer_has()
    if handover.began_in_run() or stack.forked_in_run():  # a task that outlived its run
        _tell_once(f"{function} is not recorded: the run of this worker has ended, and {why}")
        return ExperimentContext()
    raise UsageError(
        f"{function} needs an open run{why and f', and {why}'}: put the call inside "
        "`with ExperimentContext():` or a function decorated with @reproducible"
    )


def _tell_once(message: str) -> None:
    if message not in _told:
        _told.add(message)
        say(message)
