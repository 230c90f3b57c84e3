"""One call of a decorated function, from its start to its end, on the record."""

import itertools
import os
import weakref
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime
from time import perf_counter
from types import CodeType, TracebackType
from typing import Any

from instrument import settings, stack
from instrument.context import ExperimentContext
from instrument.current import current_run
from instrument.decorators.arguments import dotted
from instrument.decorators.target import Target
from instrument.endings import exception_raised
from instrument.errors import InstrumentError, NotFoundError, UsageError
from instrument.guard import one_line, say
from instrument.overhead import clocks
from instrument.records import CallFinished, CallStarted, Params, Record

_current: ContextVar["Call | None"] = ContextVar("instrument_call", default=None)
_calls_by_run: dict[int, "Calls"] = {}
closure_codes: set[CodeType] = set()
"""The code of every closure that stands for a user's function; filled by `wrapping`."""
_now = datetime.now


class Calls:
    """What this process knows of the decorated calls in one run; forgotten together with the run.

    Args:
        run: The run.
        opened: Whether a decorated call opened it.

    Attributes:
        numbers: The numbers of the calls in this process's journal, from 1.
        memory: What the aspects remember from call to call, by keys of their own.
    """

    def __init__(self, run: ExperimentContext, *, opened: bool) -> None:
        key = id(run)  # a look-up by id costs a quarter of one by weak reference
        self.run = weakref.ref(run, lambda _: _calls_by_run.pop(key, None))
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
        "_outer",
        "_recording",
        "_run_token",
        "_scoped",
        "_started",
        "_token",
        "calls",
        "id",
        "memory",
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
        self.memory = calls.memory
        self.owns = owns
        self.id = next(calls.numbers)
        self._outer = outer
        self._recording = run.recording
        self._scoped = owns or target.is_stepwise
        self._started = perf_counter()

    def start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Record the call and let the aspects prepare it.

        Raises:
            UsageError, NotFoundError: An aspect found an error of the user's.
        """
        try:
            recording = self._recording
            weight = next(recording.calls_weights) if recording is not None else 0
            began = clocks() if weight else None
            started = self._call_started(args, kwargs)
            self._record(started)
            if began is not None:
                self._tell_cost(weight, began)
            if self.owns and started.arguments:
                self._record(Params(values=dotted(started.arguments), source="call"))
            for aspect in self.target.preparing:
                try:
                    aspect.before(self)
                except (UsageError, NotFoundError):
                    raise
                except Exception as error:
                    self.run.problem(f"prepare the call of {self.target.name}", error)
        except BaseException as error:
            self._end("raised", perf_counter(), error)
            raise

    def enter(self) -> None:
        """The function's frame runs now: what it does belongs to this call and its run.

        Until `yielded`, `returned`, `raised` or `closed` says that it gave control back.
        """
        self._token = _current.set(self)
        if self._scoped:
            self._run_token = stack.resume(self.run)

    def yielded(self, value: Any) -> None:
        """The generator gave `value`."""
        self._leave()
        try:
            for aspect in self.target.aspects:
                try:
                    aspect.yielded(self, value)
                except Exception as error:
                    self.run.problem(f"keep what {self.target.name} yielded", error)
        except BaseException as error:  # a strict run, or Ctrl-C while a checkpoint was stored
            self._end("raised", perf_counter(), error)
            raise

    def returned(self, value: Any) -> None:
        """The function returned `value`, or the generator ended with it."""
        ended = perf_counter()
        self._leave()
        try:
            for aspect in self.target.keeping:
                try:
                    aspect.after(self, value)
                except Exception as error:  # hours of training are never lost to our failure
                    self.run.problem(f"keep what {self.target.name} returned", error)
        except BaseException as error:
            self._end("returned", ended, error)
            raise
        self._end("returned", ended)

    def raised(self, error: BaseException) -> None:
        """`error` left the function."""
        ended = perf_counter()
        self._leave()
        outcome = "closed" if isinstance(error, GeneratorExit) else "raised"
        if not self.owns and _is_news(error):
            self._record(exception_raised(error))
        self._end(outcome, ended, error)

    def closed(self) -> None:
        """The caller needs no more of the generator: for the run that is an end like any other."""
        ended = perf_counter()
        self._leave()
        self._end("closed", ended)

    def _leave(self) -> None:
        if self._scoped:
            stack.pause(self._run_token)
        try:
            _current.reset(self._token)
        except ValueError:  # a coroutine driven from several contexts: there is nothing to undo
            return

    def _end(self, outcome: str, ended: float, error: BaseException | None = None) -> None:
        """The user's part was over at `ended`; what we did since is no part of the duration."""
        seconds = ended - self._started
        recording = self._recording
        weight = next(recording.calls_weights) if recording is not None else 0
        began = clocks() if weight else None
        self._record(CallFinished(call_id=self.id, outcome=outcome, duration_seconds=seconds))
        if began is not None:
            self._tell_cost(weight, began)
        if self.owns:
            try:
                self.run.finish_after(error)
            except Exception as failure:
                self.run.problem("finish the run", failure)

    def _call_started(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallStarted:
        """Never raises."""
        target, outer = self.target, self._outer
        return CallStarted(
            call_id=self.id,
            function=target.name,
            source_digest=target.source_digest,
            arguments=target.parameters.summaries(args, kwargs),
            parent_call_id=outer.id if outer and outer.calls is self.calls else None,
        )

    def _tell_cost(self, weight: int, began: tuple[float, float]) -> None:
        if self._recording is not None:
            self._recording.overhead.estimate("calls", weight, began)

    def _record(self, record: Record) -> None:
        """As `ExperimentContext.record`, by the hot path."""
        recording = self._recording
        if recording is None:
            return
        try:
            take = recording.take
            take(record, _now(UTC))
        except Exception as error:
            self.run.problem(f"record a call of {self.target.name}", error)


def begin(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
    """Start a call: in the run that is open here, else in one that is opened for it.

    Returns:
        The call; None when it cannot be recorded, which has then been said.

    Raises:
        InstrumentError: The user's own error; the function is not to run.
    """
    outer = _current.get()
    try:
        run = current_run()
        calls = _calls_by_run.get(id(run)) if run is not None else None
        owns = run is None or (calls is not None and calls.opened and not _is_around(run, outer))
        if owns or run is None:
            run = target.open_run()
            calls = _calls_in(run, opened=True)
            copy_context().run(run.start)  # `Call.enter` makes it current while the frame runs
    except InstrumentError:  # the user's settings are wrong, or the run would be strict
        raise
    except Exception as error:
        if settings.resolve().strict:
            raise
        say(f"could not record the call of {target.name}: {one_line(error)} (your run goes on)")
        target.unrecorded()
        return None
    call = Call(target, run, calls or _calls_in(run, opened=False), outer, owns=owns)
    call.start(args, kwargs)
    return call


def _calls_in(run: ExperimentContext, *, opened: bool) -> Calls:
    return _calls_by_run.setdefault(id(run), Calls(run, opened=opened))


def _is_around(run: ExperimentContext, outer: Call | None) -> bool:
    """Whether `run`, which was opened for a call, is that of the call around this one.

    Otherwise it is that other call's own: two calls at once in two threads or tasks are two runs,
    whichever came first. A run that the user opened is everybody's.
    """
    return outer is not None and outer.run is run


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
    for key, calls in list(_calls_by_run.items()):
        run = calls.run()
        if run is not None:
            _calls_by_run[key] = Calls(run, opened=calls.opened)


os.register_at_fork(after_in_child=_after_fork_in_child)
