"""A run that is a command: opened around it, closed with its exit code."""

import os
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final

import msgspec

from instrument import startup
from instrument.cli.child import INTERRUPTING, SIGNALLED, Child, signals_held
from instrument.cli.interpreter import foreign_environment
from instrument.cli.output import fail
from instrument.context import ExperimentContext
from instrument.errors import InstrumentError
from instrument.guard import one_line, say
from instrument.identity import Identity, opened
from instrument.intercept.libraries import LIBRARIES
from instrument.intercept.tracing import roots
from instrument.protocols import Store
from instrument.records import EnvironmentCaptured, SeedsRecorded
from instrument.signals import signal_name
from instrument.vocabulary import Health, RunState

EXIT_NOT_FOUND: Final = 127
EXIT_NOT_EXECUTABLE: Final = 126
HASH_SEED: Final = "PYTHONHASHSEED"
_PYTHON_OPTIONS_WITH_VALUE: Final = frozenset({"-W", "-X", "--check-hash-based-pycs"})


class CommandRun(ExperimentContext):
    """The run of a command: the first context that the command opens *is* this run.

    Args:
        command: The program and its arguments.
        hash_seed: What the command gets as PYTHONHASHSEED; None: nothing.
        trace: Functions of the command whose calls are recorded, in place of those that the
            settings name.
        **options: Options of `ExperimentContext`.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        hash_seed: int | None = None,
        trace: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.command = tuple(command)
        self.added = {HASH_SEED: str(hash_seed)} if hash_seed is not None else {}
        """What recording adds to the environment of the command."""
        if trace:
            self.added["INSTRUMENT_TRACE"] = ",".join(trace)
        self._hash_seed = hash_seed
        self._traced = roots(trace or self._settings.trace)

    def _identity(self, store: Store | None) -> Identity:
        """A run of its own, also where the command stands inside a recorded command."""
        which = opened(
            self._presented(name_of(self.command)),
            "adopt",
            run_id=self._run_id,
            default_run_id=self._settings.run_id,
            store=store,
        )
        return msgspec.structs.replace(which, command=self.command)

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """The environment of the command: this one, `more`, and what makes it take part."""
        environment = {**os.environ, **more, **self.added}
        if self.recording is None or self.store is None:
            return environment
        watched = {one.name for one in LIBRARIES if one.part in self._settings.intercept}
        watched.discard("random")  # what is no program of ours imports it too
        return environment | startup.variables(environment, watched | self._traced)

    def _record_start(self) -> None:
        """What is known of the command; the state of this process says nothing about it."""
        if self._hash_seed is not None:
            seeds = SeedsRecorded(
                seed=self._hash_seed,
                set_in=(HASH_SEED,),
                states={},
                flags={HASH_SEED: str(self._hash_seed)},
            )
            self.record(seeds)
        reasons = {
            "command": foreign_environment(self.command[0]),
            "interception": startup.unreachable(self.command),
        }
        health = tuple(
            Health(part=part, status="skipped", reason=reason)
            for part, reason in reasons.items()
            if reason is not None
        )
        if health:
            level = self._settings.capture_level
            self.record(EnvironmentCaptured(level=level, snapshot=None, health=health))


def record_command(run: CommandRun, environment: Mapping[str, str]) -> int:
    """Run the command of `run` and record it; its exit code.

    The command runs also when it cannot be recorded.

    Args:
        run: The run, not started yet.
        environment: What to add to the environment of the command.

    Raises:
        InstrumentError: The run is strict, or its audit required: it cannot be recorded, and the
            command was not started; or the end could not be, of a command that succeeded.
    """
    with signals_held():
        _start(run)
        try:
            child = Child(run.command, run.environment(environment))
        except OSError as error:
            fail(f"{run.command[0]!r} cannot be started: {error.strerror}")
            missing = isinstance(error, FileNotFoundError)
            code = EXIT_NOT_FOUND if missing else EXIT_NOT_EXECUTABLE
            run.finish(error=error, exit_code=code)
            return code
        code = child.wait()
    state, by = _end(child, code)
    try:
        run.finish(state=state, exit_code=code, signal=signal_name(by) if by else None)
    except InstrumentError as failure:
        if not code:
            raise
        say(f"recording this run failed: {one_line(failure)}")  # the command's own failure counts
    return code


def name_of(command: Sequence[str]) -> str:
    """What to call the run of `command`: the script or module that Python runs, or the program.

    >>> name_of(["python3", "-u", "src/train.py", "--lr", "0.1"])
    'train'
    >>> name_of(["python", "-m", "lm_eval", "--tasks", "arc"])
    'lm_eval'
    """
    program = PurePath(command[0])
    if not program.name.startswith("python"):
        return program.stem
    arguments = iter(command[1:])
    for argument in arguments:
        if argument == "-m":
            return next(arguments, program.name)
        if argument == "-c":
            break
        if argument in _PYTHON_OPTIONS_WITH_VALUE:
            next(arguments, None)
        elif not argument.startswith("-"):
            return PurePath(argument).stem
    return program.name


def _start(run: CommandRun) -> None:
    """Open the run; a failure is told, and the command goes unrecorded."""
    try:
        run.start()
    except InstrumentError:
        raise
    except Exception as error:
        say(f"could not record this run: {one_line(error)} (the command runs all the same)")


def _end(child: Child, code: int) -> tuple[RunState, int | None]:
    """What became of a command that ended with `code`, and by which signal."""
    if code == 0:
        return RunState.COMPLETED, None
    by = child.killed_by or child.interrupted_by
    if by is None and code - SIGNALLED in INTERRUPTING:
        by = code - SIGNALLED  # of a shell: what it ran was ended so
    interrupted = by in INTERRUPTING or child.interrupted_by is not None
    return RunState.INTERRUPTED if interrupted else RunState.FAILED, by
