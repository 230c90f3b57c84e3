"""Runs that nobody has to open: `autolog`, and the part of a program that knows nothing of us."""

import threading
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from instrument import given, handover, settings, stack, threads
from instrument.capture.determinism import read_settings
from instrument.context import ExperimentContext
from instrument.current import TakingPart, current_run
from instrument.exits import at_process_end
from instrument.guard import one_line, say
from instrument.handover import Handover
from instrument.identity import Identity
from instrument.protocols import Store
from instrument.records import EnvironmentCaptured
from instrument.vocabulary import Health

_CAPTURE_SECONDS: Final = 10.0
_lock: Final = threading.Lock()


def autolog(*, trace: Iterable[str] = (), **options: Any) -> ExperimentContext:
    """Record the rest of this program: open a run unless one is open, close it at the exit.

        import instrument

        instrument.autolog(name="baseline", trace=["pkg.train", "pkg.eval:Evaluator.score"])

    Loads and calls of models, reads of data and what is printed are recorded by themselves;
    `log_metrics` and its kin speak to this run. An exception that nobody handles makes it FAILED,
    and so does `sys.exit` with another code than 0.
    In a worker process of a recorded program this is the run of the parent process.

    Args:
        trace: Functions to record each call of, as `reproducible` does: ``module.function`` or
            ``module:Class.method``. Those that the setting ``trace`` names are added.
        **options: As of `ExperimentContext`; without effect where a run is open.

    Returns:
        The run; called again, the same one.

    Raises:
        UsageError: An option is not usable.
    """
    from instrument.intercept.tracing import trace_functions

    with _lock:
        trace_functions(given.texts("trace", trace))
        run = stack.innermost()
        if not isinstance(run, ExperimentContext):
            handed = handover.received()
            run = current_run() if handed is not None and handed.part == "join" else None
        if run is None:
            run = ExperimentContext(**options).start()
        return run


class Unaware(TakingPart):
    """The part in a recorded command of a program that may know nothing of it.

    If the program opens a context after all, that one is the run, as it would be without: this
    part hands nothing on, so child processes get what this process got.
    """

    def _identity(self, store: Store | None) -> Identity:
        return msgspec.structs.replace(super()._identity(store), part=None)

    def _record_end(self, error: BaseException | None) -> None:
        super()._record_end(error)
        settings_at_end = read_settings()  # this part began before a library was loaded
        if settings_at_end.flags:
            self.record(settings_at_end)


def take_part(*, foreign: bool) -> None:
    """Take part in the run that was handed to this process. Never raises.

    Args:
        foreign: This Python is another one than that which records; its environment is told.
    """
    try:
        handed = handover.received()
        if handed is None or settings.is_disabled() or stack.innermost() is not None:
            return
        _take_part(handed, foreign=foreign)
    except Exception as error:
        say(f"could not take part in the recorded run: {one_line(error)} (your program goes on)")


def _take_part(handed: Handover, *, foreign: bool) -> None:
    part = Unaware(handed).start()
    at_process_end(part.finish)  # of a worker; of other processes the stack ends it, with the error
    stack.enter(part)
    if foreign:
        thread = threading.Thread(
            target=_tell_environment, args=(part,), name="instrument-capture", daemon=True
        )
        threads.start(thread)
        at_process_end(lambda: thread.join(_CAPTURE_SECONDS))
    else:
        _record_environment(part, None, ())


def _tell_environment(part: ExperimentContext) -> None:
    from instrument.canonical import canonical_bytes
    from instrument.capture.snapshot import capture_snapshot

    try:
        store = part.store
        if store is None:
            return
        level = settings.resolve().capture_level
        snapshot, health = capture_snapshot(level, store.put_bytes)
        _record_environment(part, store.put_bytes(canonical_bytes(snapshot)), health)
    except Exception as error:
        part.problem("capture the environment of the command", error)


def _record_environment(
    part: ExperimentContext, snapshot: str | None, health: tuple[Health, ...]
) -> None:
    """This Python is the command's; None: its environment is that of the run's owner."""
    done = Health(part="command", status="done")
    level = settings.resolve().capture_level
    part.record(EnvironmentCaptured(level=level, snapshot=snapshot, health=(*health, done)))
