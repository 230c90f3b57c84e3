"""A run that is a command: opened around it, closed with its exit code."""

import os
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final

from instrument.capture.determinism import read_seeds
from instrument.cli.child import INTERRUPTING, SIGNALLED, Child, signals_held
from instrument.cli.output import fail
from instrument.context import ExperimentContext
from instrument.errors import InstrumentError
from instrument.guard import one_line, say
from instrument.identity import Identity, opened
from instrument.protocols import Store
from instrument.vocabulary import RunState

EXIT_NOT_FOUND: Final = 127
EXIT_NOT_EXECUTABLE: Final = 126
HASH_SEED: Final = "PYTHONHASHSEED"
_PYTHON_OPTIONS_WITH_VALUE: Final = frozenset({"-W", "-X", "--check-hash-based-pycs"})


class CommandRun(ExperimentContext):
    """The run of a command: the first context that the command opens *is* this run.

    Args:
        command: The program and its arguments.
        **options: Options of `ExperimentContext`.
    """

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self._command = command

    def _identity(self, store: Store | None) -> Identity:
        """A run of its own, also where the command stands inside a recorded command."""
        return opened(
            self._presented(name_of(self._command)),
            "adopt",
            run_id=self._run_id,
            default_run_id=self._settings.run_id,
            store=store,
        )


def record_command(
    run: CommandRun, command: Sequence[str], environment: Mapping[str, str], *, seed: int | None
) -> int:
    """Run `command` and record it as `run`; its exit code.

    The command runs also when it cannot be recorded.

    Args:
        run: The run, not started yet.
        command: The program and its arguments.
        environment: What to add to the environment of the command.
        seed: Recorded, and given to the command as PYTHONHASHSEED; None: neither.

    Raises:
        InstrumentError: The run is strict and cannot be recorded; the command was not started.
    """
    seeded = {HASH_SEED: str(seed)} if seed is not None else {}
    with signals_held():
        _start(run, seed)
        try:
            child = Child(command, {**os.environ, **environment, **seeded})
        except OSError as error:
            fail(f"{command[0]!r} cannot be started: {error.strerror}")
            missing = isinstance(error, FileNotFoundError)
            code = EXIT_NOT_FOUND if missing else EXIT_NOT_EXECUTABLE
            run.finish(error=error, exit_code=code)
            return code
        code = child.wait()
    run.finish(state=_state(code, interrupted=child.interrupted), exit_code=code)
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


def _start(run: CommandRun, seed: int | None) -> None:
    """Open the run; a failure is told, and the command goes unrecorded."""
    try:
        run.start()
        if seed is not None:
            run.record(read_seeds(seed, (HASH_SEED,)))
    except InstrumentError:
        raise
    except Exception as error:
        say(f"could not record this run: {one_line(error)} (the command runs all the same)")


def _state(code: int, *, interrupted: bool) -> RunState:
    """What became of a command that ended with `code`."""
    if code == 0:
        return RunState.COMPLETED
    if interrupted or code - SIGNALLED in INTERRUPTING:
        return RunState.INTERRUPTED
    return RunState.FAILED
