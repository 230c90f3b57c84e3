"""`ExperimentContext`: a run, as the user holds it in hand.

    with ExperimentContext(config={"lr": 0.1}, name="baseline") as run:
        run.log_metrics({"loss": 0.5}, step=0)

Contexts nest (the inner one is a child run), work in threads, tasks and ``async with``, and restore
exactly what they changed.
"""

import os
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from instrument import (
    console,
    exits,
    given,
    handover,
    identity,
    intercept,
    registry,
    settings,
    stack,
)
from instrument.capture.determinism import read_seeds, set_seeds, unseeded
from instrument.endings import add_failure, exception_raised, given_end, state_after
from instrument.errors import UsageError
from instrument.guard import one_line, say
from instrument.identity import Identity
from instrument.naming import check_given_run_id
from instrument.overhead import costs
from instrument.protocols import Store
from instrument.recording import Recording, open_store
from instrument.records import Params, Problem, RunFinished, RunStarted
from instrument.run_artifacts import RunArtifacts
from instrument.run_values import RunValues, named_params
from instrument.signals import TerminationHook
from instrument.vocabulary import RunState

if TYPE_CHECKING:
    from contextvars import Token

    from instrument.intercept.generation import Generation
    from instrument.telemetry.phases import Phase


class ExperimentContext(RunValues, RunArtifacts):
    """One run: opened by ``with`` (or `start`), closed with what became of it.

    Args:
        config: Parameters: a dict, dataclass, pydantic model, argparse namespace, OmegaConf node,
            or the path of a JSON or YAML file. Nested names become dotted.
        name: What to call the run; the script's name by default.
        project: The group it belongs to.
        tags: Words to find it by, or one.
        capture_level: 1 basic, 2 standard, 3 complete (`EnvironmentCaptureLevel`).
        monitor_hardware: Sample CPU, memory, disk, network and GPU while it runs.
        offline: True: not one network system call. False: not offline, whatever the environment
            says.
        backend: ``"local"`` (always there), or a list of names that adds mirrors; or a `Store`.
        store: Directory of the local store.
        strict: Raise the recorder's own failures instead of recording them.
        run_id: Continue this run as a new attempt, or start it under this id.
        seed: Seed to set in `random`, and in numpy and torch where they are loaded.

    Raises:
        UsageError: An argument is not usable.
        NotFoundError: A backend is unknown.
        MissingDependencyError: A backend's library is not installed.
    """

    part: "ClassVar[ExperimentContext | None]" = None
    """The parent's run, in a process that was started in it and takes part."""

    def __init__(  # noqa: PLR0913 - the options of a run
        self,
        config: object = None,
        name: str | None = None,
        project: str | None = None,
        tags: str | Iterable[str] | None = None,
        capture_level: int | None = None,
        monitor_hardware: bool = True,
        offline: bool | None = None,
        backend: "str | Iterable[str] | Store | None" = None,
        *,
        store: str | Path | None = None,
        strict: bool | None = None,
        run_id: str | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self._given_store, backends = _split_backend(backend)
        self._settings = settings.resolve(
            project=project,
            capture_level=given.capture_level(capture_level),
            mode=given.mode(offline),
            backends=backends,
            store=given.directory(store),
            strict=given.flag("strict", strict),
        )
        if backends is not None:
            _check_mirrors(backends, installed=True)
        self._params = named_params(config) if config is not None else {}
        self._run_id = check_given_run_id(run_id) if run_id is not None else None
        if self._settings.run_id is not None:
            check_given_run_id(self._settings.run_id)
        self._name = given.label("name", name) if name is not None else None
        self._tags = given.texts("tags", () if tags is None else tags)
        self._monitor_hardware = bool(given.flag("monitor_hardware", monitor_hardware))
        self._seed = given.seed(seed)
        self._seeded: tuple[str, ...] = ()
        self._token: Token[stack.OpenRun | None] | None = None
        self._hook: TerminationHook | None = None
        self.id = ""
        self.name = name or ""
        self.state: RunState | None = None

    # --- life ----------------------------------------------------------------------------------

    def start(self) -> Self:
        """Open the run. ``with`` does it for you.

        A run that nothing closes is closed when the process ends; what `sys.exit` was called with
        then tells what became of it.

        Raises:
            UsageError: It was started before; a context is one run.
            StoreError: It is strict and cannot be recorded.
        """
        self._open()
        if self._hook is not None:  # the run is this process's own
            exits.watch()
        return self

    def _open(self) -> Self:
        if self.state is not None:
            raise UsageError(f"run {self.id} was started before; make a new ExperimentContext")
        self.state = RunState.RUNNING
        if self._settings.mode != "disabled":
            self._start_recording_or_undo()
        elif self._seed is not None:
            set_seeds(self._seed)  # not to record is no reason for another result
        self._token = stack.enter(self)
        return self

    def finish(
        self,
        state: RunState | str | None = None,
        error: BaseException | None = None,
        exit_code: int | None = None,
        signal: str | None = None,
    ) -> None:
        """Close the run. ``with`` does it for you. Idempotent.

        Args:
            state: What became of it; derived from `error` when None.
            error: The exception that ended it.
            exit_code: Exit code of a recorded command.
            signal: Name of the signal that ended it, such as ``SIGTERM``.

        Raises:
            UsageError: An argument is not usable; the run stays open.
        """
        code = given.exit_code(exit_code)
        by = given.text("signal", signal) if signal is not None else None
        ended = given_end(state) if state is not None else state_after(error)
        if self.state is not RunState.RUNNING:
            return
        self.state = ended
        stack.leave(self, self._token)
        recording = self.recording
        if recording is None:
            return
        duration = recording.duration_seconds()
        console.uninstall()
        intercept.uninstall()
        end = RunFinished(state=self.state, duration_seconds=duration, exit_code=code, signal=by)
        try:
            recording.finish(end, lambda: self._record_end(error))
        finally:
            if self._hook is not None:
                self._hook.remove()

    def finish_after(self, error: BaseException | None) -> None:
        """`finish` with what left the body, which comes out itself, whatever fails here.

        Raises:
            Exception: The run is strict, its recording failed, and the body did not.
        """
        try:
            self.finish(error=error)
        except Exception as failure:
            if error is None:
                raise
            add_failure(error, failure)

    def __enter__(self) -> Self:
        return self._open()

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        self.finish_after(error)

    async def __aenter__(self) -> Self:
        return self._open()

    async def __aexit__(self, _: object, error: BaseException | None, *__: object) -> None:
        self.finish_after(error)

    # --- what the user says --------------------------------------------------------------------

    def phase(self, name: str) -> "Phase":
        """A stretch of the run under a name, whose time and hardware are told by themselves.

            with run.phase("train"):
                ...

        Phases nest (``train/validate``), repeat (their passes are told together) and run side by
        side; ``async with`` does the same. Samples of the hardware count for the phases that are
        open when they are taken.

        Raises:
            UsageError: The name is empty, longer than 200 characters or has a ``/``.
        """
        from instrument.telemetry.phases import Phase

        return Phase(self, name)

    # --- for the rooms above -------------------------------------------------------------------

    @property
    def store(self) -> Store | None:
        """The store this run is recorded in; None when it cannot be used."""
        if self.recording is not None:
            return self.recording.store
        return self._given_store or open_store(self._settings)

    @property
    def last_generation(self) -> "Generation | None":
        """The last call of a model that ended in this thread or task, else in the run.

        What is made of its result can be bound to it: settings, model and random state are those
        that were really used. None when no call of a watched library was seen. Waits for the
        digest of the model while its files are being hashed, at most 30 seconds.
        """
        module = sys.modules.get("instrument.intercept.generation")
        if module is None or self.recording is None:
            return None
        return cast("Generation | None", module.last_generation(self.recording))

    def is_over(self) -> bool:
        """Whether the run was lent to this process, and has ended where it belongs."""
        return self.recording is not None and self.recording.is_over()

    def __repr__(self) -> str:
        return f"<ExperimentContext {self.name or '-'} {self.id or 'not started'} {self.state}>"

    # --- inside --------------------------------------------------------------------------------

    def _start_recording_or_undo(self) -> None:
        try:
            self._start_recording()
        except BaseException:  # refused: as if it had never been asked for
            self.state = self.recording = None
            self.id = ""
            raise

    @costs("capture")
    def _start_recording(self) -> None:
        if self._settings.trace:
            from instrument.intercept.tracing import trace_functions

            trace_functions(self._settings.trace)
        store = self._given_store or open_store(self._settings)
        which = self._identity(store)
        if which.owner:
            _check_mirrors(self._settings.backends, installed=False)  # those of the environment too
            _tell_unread()
        self.id = which.run_id
        self.name = which.started.name if which.started is not None else ""
        self._compared.changes(which.params)
        self.recording = Recording(
            which, self._settings, store, monitor_hardware=self._monitor_hardware
        )
        self.recording.start(self._record_start)
        if which.open_elsewhere:
            self._tell_open_elsewhere()
        protect = self.recording.guard.protect
        with protect("watch calls and loads"):
            intercept.install(_destination, (*self._settings.intercept, "trace"))
        with protect("listen to what is printed"):
            console.install(_console_log)
        if which.owner:
            self._hook = TerminationHook(self._terminate)
            with protect("close the run on a signal"):
                self._hook.install()

    def _terminate(self, name: str) -> None:
        """Close the run on the signal called `name`; nobody could catch what fails."""
        try:
            self.finish(RunState.INTERRUPTED, signal=name)
        except Exception as failure:
            say(f"recording this run failed: {one_line(failure)}")

    def _identity(self, store: Store | None) -> Identity:
        """Which run this is."""
        started = self._presented()
        return identity.adopted(started) or identity.opened(
            started,
            "join",
            run_id=self._run_id,
            default_run_id=self._settings.run_id,
            store=store,
        )

    def _presented(self, default_name: str | None = None) -> RunStarted:
        """How the run presents itself; its name by default is that of the script."""
        script = getattr(sys.modules.get("__main__"), "__file__", None)
        return RunStarted(
            name=self._name or default_name or _stem(script) or "interactive",
            project=self._settings.project,
            tags=self._tags,
            function=None,
            parent_run_id=None,
            session_id=self._settings.session,
            capture_level=self._settings.capture_level,
            named=self._name is not None,
        )

    def _record_start(self) -> None:
        if self._params:
            self._record_params(Params(values=self._params, source="config"))
        if self._seed is not None:
            self._seeded = set_seeds(self._seed)
        self.record(read_seeds(self._seed, self._seeded))

    def _tell_open_elsewhere(self) -> None:
        """The id is the user's, and so is the mistake: told, but no reason to raise."""
        message = "another process records it now, and both go into one run; give each its own id"
        self.record(Problem(doing=f"keep run {self.id} apart", error="UsageError", message=message))
        say(f"run {self.id}: {message}")

    def _record_end(self, error: BaseException | None) -> None:
        late = unseeded(self._seeded) if self._seed is not None else ()
        if late:
            reason = "imported after the seed was set; import it before the run starts"
            self.problem(f"seed {' and '.join(late)}", ImportError(reason))
        if error is not None and self.state is not RunState.COMPLETED:
            self.record(exception_raised(error))


def _destination() -> intercept.Destination | None:
    """Where the records of intercepted calls go."""
    recording = getattr(stack.innermost() or ExperimentContext.part, "recording", None)
    if recording is None or recording.store is None:
        return None
    return intercept.Destination(
        recording,
        recording.store,
        recording.data_limit_bytes,
        recording.store,
        recording.identity.run_id,
        recording.is_owner,
    )


def _console_log() -> console.ConsoleLog | None:
    """Where goes what the calling code prints."""
    recording = getattr(stack.innermost(), "recording", None)
    return None if recording is None else recording.console


def _stem(script: Any) -> str:
    """The name of the script, which is what the program says it is: maybe no path at all."""
    return Path(script).stem if isinstance(script, (str, os.PathLike)) else ""


def _split_backend(backend: Any) -> tuple[Store | None, tuple[str, ...] | None]:
    """A store given as an object, and the names of backends, from what the user passed."""
    if backend is None:
        return None, None
    if isinstance(backend, str):
        return None, (backend,)
    if isinstance(backend, Store):
        return backend, None
    return None, given.texts("backend", backend)


def _check_mirrors(names: Iterable[str], *, installed: bool) -> None:
    for name in names:
        if name != "local":
            registry.check_mirror(name, installed=installed)


@cache
def _tell_unread() -> None:
    """What nothing reads: once in a process, not again in those that a recorded one starts."""
    for told in settings.unread() if handover.received() is None else ():
        say(told)
