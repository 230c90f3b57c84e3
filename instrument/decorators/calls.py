"""One call of a decorated function, from its start to its end, on the record."""

import itertools
import os
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, copy_context
from types import CodeType, TracebackType
from typing import Any

from instrument import stack
from instrument.capture.redaction import redact_text
from instrument.context import ExperimentContext
from instrument.current import current_run
from instrument.decorators.arguments import dotted, summarise, type_name
from instrument.decorators.target import Target
from instrument.errors import NotFoundError, UsageError
from instrument.guard import one_line, say, traceback_text
from instrument.records import CallFinished, CallStarted, ExceptionRaised, Params

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
        outer: The decorated call around it, in whatever run.
        owns: Whether `run` was opened for this call and ends with it.
    """

    __slots__ = (
        "_ended",
        "_outer",
        "_run_token",
        "_started",
        "_token",
        "calls",
        "id",
        "owns",
        "run",
        "target",
    )

    def __init__(
        self, target: Target, run: ExperimentContext, outer: "Call | None", *, owns: bool
    ) -> None:
        self.target = target
        self.run = run
        self.owns = owns
        self.calls = _calls_in(run, opened=owns)
        self.id = next(self.calls.numbers)
        self._outer = outer
        self._ended = False
        self._started = time.perf_counter()

    def start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Record the call and let the aspects prepare it.

        Raises:
            UsageError, NotFoundError: An aspect found an error of the user's.
        """
        try:
            self._protected("record the call", self._record_start, args, kwargs)
            for aspect in self.target.aspects:
                self._protected(f"prepare the call of {self.target.name}", aspect.before, self)
        except BaseException as error:
            self._end("raised", error)
            raise

    def enter(self) -> None:
        """The function's frame runs now: what it does belongs to this call and its run."""
        self._token = _current.set(self)
        if self.owns or self.target.is_stepwise:
            self._run_token = stack.resume(self.run)

    def leave(self) -> None:
        """The frame has given control back. Undoes `enter`."""
        with suppress(ValueError):  # a coroutine driven from several contexts: nothing to undo
            _current.reset(self._token)
        if self.owns or self.target.is_stepwise:
            stack.pause(self._run_token)

    def yielded(self, value: Any) -> None:
        """The generator gave `value`."""
        try:
            for aspect in self.target.aspects:
                self._unharmed(aspect.yielded, value)
        except BaseException as error:  # a strict run, or Ctrl-C while a checkpoint was stored
            self._end("raised", error)
            raise

    def returned(self, value: Any) -> None:
        """The function returned `value`, or the generator ended with it."""
        try:
            for aspect in self.target.aspects:
                self._unharmed(aspect.after, value)
        except BaseException as error:
            self._end("returned", error)
            raise
        self._end("returned")

    def raised(self, error: BaseException) -> None:
        """`error` left the function."""
        outcome = "closed" if isinstance(error, GeneratorExit) else "raised"
        if not self.owns and _is_news(error):
            self._protected("record an exception", self._record_exception, error)
        self._end(outcome, error)

    def closed(self) -> None:
        """The caller needs no more of the generator: for the run that is an end like any other."""
        self._end("closed")

    def _end(self, outcome: str, error: BaseException | None = None) -> None:
        if self._ended:
            return
        self._ended = True
        duration = time.perf_counter() - self._started
        self.run.record(CallFinished(call_id=self.id, outcome=outcome, duration_seconds=duration))
        if self.owns:
            self._protected("finish the run", self.run.finish, None, error)

    def _record_start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        target, outer = self.target, self._outer
        arguments = summarise(target.parameters.bind(args, kwargs))
        self.run.record(
            CallStarted(
                call_id=self.id,
                function=target.name,
                source_digest=target.source_digest,
                arguments=arguments,
                parent_call_id=outer.id if outer and outer.calls is self.calls else None,
            )
        )
        if self.owns and arguments:
            self.run.record(Params(values=dotted(arguments), source="call"))

    def _record_exception(self, error: BaseException) -> None:
        message = redact_text(one_line(error))[:_MAX_MESSAGE]
        trace = redact_text(traceback_text(error))
        name = type_name(type(error))
        self.run.record(ExceptionRaised(type=name, message=message, traceback=trace))

    def _protected(self, doing: str, work: Callable[..., Any], *arguments: Any) -> None:
        """Do our own work; only what the user got wrong, or a strict run, comes out of it."""
        try:
            work(*arguments)
        except (UsageError, NotFoundError):
            raise
        except Exception as error:
            self.run.problem(doing, error)

    def _unharmed(self, work: Callable[["Call", Any], None], value: Any) -> None:
        """Let an aspect work on a result: hours of training are never lost to its failure."""
        try:
            work(self, value)
        except Exception as error:
            self.run.problem(f"keep the results of {self.target.name}", error)


def begin(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
    """Start a call: in the run that is open here, else in one that is opened for it.

    Returns:
        The call; None when it cannot be recorded, which has then been said.

    Raises:
        UsageError, NotFoundError: The user's own error; the function is not to run.
    """
    outer = _current.get()
    try:
        run = _run_to_join(outer)
        owns = run is None
        if run is None:
            run = target.open_run()
            copy_context().run(run.start)  # `Call.enter` makes it current, while the frame runs
    except (UsageError, NotFoundError):
        raise
    except Exception as error:
        say(f"could not record the call of {target.name}: {one_line(error)} (your run goes on)")
        return None
    call = Call(target, run, outer, owns=owns)
    call.start(args, kwargs)
    return call


def _run_to_join(outer: Call | None) -> ExperimentContext | None:
    """The open run that a call here takes part in.

    A run that was opened for a call belongs to that call's own context: two calls at once in two
    threads or tasks are two runs, whichever came first.
    """
    run = current_run()
    if run is None or (outer is not None and outer.run is run):
        return run
    calls = _calls_of.get(run)
    return None if calls is not None and calls.opened else run


def _calls_in(run: ExperimentContext, *, opened: bool) -> Calls:
    calls = _calls_of.get(run)
    if calls is None:
        calls = _calls_of.setdefault(run, Calls(opened=opened))
    return calls


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
