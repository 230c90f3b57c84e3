"""One call of a decorated function, from its start to its end, on the record."""

import itertools
import os
import time
import weakref
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime
from types import CodeType, TracebackType
from typing import Any, TypeVar

from instrument import settings, stack
from instrument.capture.redaction import redact_text
from instrument.context import ExperimentContext
from instrument.current import current_run
from instrument.decorators.arguments import dotted, summarise, type_name
from instrument.decorators.target import Target
from instrument.errors import InstrumentError, NotFoundError, UsageError
from instrument.guard import one_line, say, traceback_text
from instrument.records import CallFinished, CallStarted, ExceptionRaised, Params, Record

R = TypeVar("R", bound=Record)
_MAX_MESSAGE = 10_000
_current: ContextVar["Call | None"] = ContextVar("instrument_call", default=None)
_calls_of: "weakref.WeakKeyDictionary[ExperimentContext, Calls]" = weakref.WeakKeyDictionary()
closure_codes: set[CodeType] = set()
"""The code of every closure that stands for a user's function; filled by `wrapping`."""


class Calls:
    """What this process knows of the decorated calls in one run.

    Args:
        opened: Whether a decorated call opened the run.

    Attributes:
        numbers: The numbers of the calls in this process's journal, from 1.
        memory: What the aspects remember from call to call, by keys of their own.
    """

    def __init__(self, *, opened: bool) -> None:
        self.opened = opened
        self.numbers = itertools.count(1)
        self.memory: dict[Any, Any] = {}


class Call:
    """One call of `target` in `run`.

    Args:
        target: What is called.
        run: The run it takes part in.
        calls: The calls of that run.
        outer: The decorated call around it, in whatever run.
        owns: Whether `run` was opened for this call and ends with it.
    """

    __slots__ = (
        "_duration_seconds",
        "_ended",
        "_outer",
        "_run_token",
        "_scoped",
        "_started",
        "_token",
        "calls",
        "id",
        "owns",
        "run",
        "target",
    )

    def __init__(
        self,
        target: Target,
        run: ExperimentContext,
        calls: Calls,
        outer: "Call | None",
        *,
        owns: bool,
    ) -> None:
        self.target = target
        self.run = run
        self.calls = calls
        self.owns = owns
        self.id = next(calls.numbers)
        self._outer = outer
        self._scoped = owns or target.is_stepwise
        self._ended = False
        self._duration_seconds = 0.0
        self._started = time.perf_counter()

    def start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Record the call and let the aspects prepare it.

        Raises:
            UsageError, NotFoundError: An aspect found an error of the user's.
        """
        try:
            started = self._record(self._call_started, args, kwargs)
            if self.owns and started is not None and started.arguments:
                self._record(_call_params, started)
            for aspect in self.target.aspects:
                try:
                    aspect.before(self)
                except (UsageError, NotFoundError):
                    raise
                except Exception as error:
                    self.run.problem(f"prepare the call of {self.target.name}", error)
        except BaseException as error:
            self._end("raised", error)
            raise

    def enter(self) -> None:
        """The function's frame runs now: what it does belongs to this call and its run."""
        self._token = _current.set(self)
        if self._scoped:
            self._run_token = stack.resume(self.run)

    def leave(self) -> None:
        """The frame has given control back. Undoes `enter`."""
        if self._scoped:
            stack.pause(self._run_token)
        try:
            _current.reset(self._token)
        except ValueError:  # a coroutine driven from several contexts: there is nothing to undo
            return

    def yielded(self, value: Any) -> None:
        """The generator gave `value`."""
        try:
            for aspect in self.target.aspects:
                try:
                    aspect.yielded(self, value)
                except Exception as error:
                    self.run.problem(f"keep what {self.target.name} yielded", error)
        except BaseException as error:  # a strict run, or Ctrl-C while a checkpoint was stored
            self._end("raised", error)
            raise

    def returned(self, value: Any) -> None:
        """The function returned `value`, or the generator ended with it."""
        self._stop()
        try:
            for aspect in self.target.aspects:
                try:
                    aspect.after(self, value)
                except Exception as error:  # hours of training are never lost to our failure
                    self.run.problem(f"keep what {self.target.name} returned", error)
        except BaseException as error:
            self._end("returned", error)
            raise
        self._end("returned")

    def raised(self, error: BaseException) -> None:
        """`error` left the function."""
        self._stop()
        outcome = "closed" if isinstance(error, GeneratorExit) else "raised"
        if not self.owns and _is_news(error):
            self._record(_exception_raised, error)
        self._end(outcome, error)

    def closed(self) -> None:
        """The caller needs no more of the generator: for the run that is an end like any other."""
        self._stop()
        self._end("closed")

    def _stop(self) -> None:
        """The user's part is over; what we do from here on is no part of the call's duration."""
        self._duration_seconds = time.perf_counter() - self._started

    def _end(self, outcome: str, error: BaseException | None = None) -> None:
        if self._ended:
            return
        self._ended = True
        self._record(self._call_finished, outcome)
        if self.owns:
            try:
                self.run.finish(error=error)
            except Exception as failure:
                self.run.problem("finish the run", failure)

    def _call_started(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallStarted:
        target, outer = self.target, self._outer
        return CallStarted(
            call_id=self.id,
            function=target.name,
            source_digest=target.source_digest,
            arguments=summarise(target.parameters.bind(args, kwargs)),
            parent_call_id=outer.id if outer and outer.calls is self.calls else None,
        )

    def _call_finished(self, outcome: str) -> CallFinished:
        duration_seconds = self._duration_seconds
        return CallFinished(call_id=self.id, outcome=outcome, duration_seconds=duration_seconds)

    def _record(self, make: Callable[..., R], *about: Any) -> R | None:
        """Make a record and take it; what fails is told, and never the user's to handle."""
        recording = self.run.recording
        if recording is None:
            return None
        try:
            record = make(*about)
            recording.take(record, datetime.now(UTC))
        except Exception as error:
            self.run.problem(f"record a call of {self.target.name}", error)
            return None
        return record


def begin(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
    """Start a call: in the run that is open here, else in one that is opened for it.

    Returns:
        The call; None when it cannot be recorded, which has then been said.

    Raises:
        InstrumentError: The user's own error; the function is not to run.
    """
    outer = _current.get()
    try:
        joined = _joined(outer)
        run, calls = joined or _opened(target)
    except InstrumentError:  # the user's settings are wrong, or the run would be strict
        raise
    except Exception as error:
        if settings.resolve().strict:
            raise
        say(f"could not record the call of {target.name}: {one_line(error)} (your run goes on)")
        return None
    call = Call(target, run, calls, outer, owns=joined is None)
    call.start(args, kwargs)
    return call


def _joined(outer: Call | None) -> tuple[ExperimentContext, Calls] | None:
    """The open run that a call here takes part in, or None.

    A run that was opened for a call is that call's own: two calls at once in two threads or tasks
    are two runs, whichever came first. A run that the user opened is everybody's.
    """
    run = current_run()
    if run is None:
        return None
    calls = _calls_of.get(run)
    if calls is None:
        calls = _calls_of.setdefault(run, Calls(opened=False))
    if calls.opened and (outer is None or outer.run is not run):
        return None
    return run, calls


def _opened(target: Target) -> tuple[ExperimentContext, Calls]:
    """A new run for a call of `target`; `Call.enter` makes it current while the frame runs."""
    run = target.open_run()
    calls = _calls_of[run] = Calls(opened=True)
    copy_context().run(run.start)
    return run, calls


def _call_params(started: CallStarted) -> Params:
    return Params(values=dotted(started.arguments), source="call")


def _exception_raised(error: BaseException) -> ExceptionRaised:
    message = redact_text(one_line(error))[:_MAX_MESSAGE]
    trace = redact_text(traceback_text(error))
    return ExceptionRaised(type=type_name(type(error)), message=message, traceback=trace)


def _is_news(error: BaseException) -> bool:
    """Whether `error` is a failure that no decorated call further in has recorded."""
    if not isinstance(error, Exception) or isinstance(error, (StopIteration, StopAsyncIteration)):
        return False
    first = error.__traceback__
    trace: TracebackType | None = first.tb_next if first is not None else None
    while trace is not None:
        if trace.tb_frame.f_code in closure_codes:
            return False
        trace = trace.tb_next
    return True


def _after_fork_in_child() -> None:
    """A forked child writes a journal of its own, in which calls count from 1."""
    for run, calls in list(_calls_of.items()):
        _calls_of[run] = Calls(opened=calls.opened)


os.register_at_fork(after_in_child=_after_fork_in_child)
