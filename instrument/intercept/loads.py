"""One load of the user's: which calls belong to it, what it reads, and what is recorded of it.

The outermost call is the load. Calls inside it add the files they read; only an adapter that is
loaded on the way is a load of its own, and names the one it is part of.
"""

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from instrument.intercept import session
from instrument.intercept.content import Content, wait_for_contents
from instrument.intercept.facts import MAX_TEXT, plain
from instrument.intercept.inputs import tell_inputs
from instrument.intercept.origins import remember
from instrument.intercept.repeats import is_news, tell_counts
from instrument.intercept.session import Destination, cost, overhead_of
from instrument.protocols import Recorder
from instrument.records import DataRead, ModelLoaded
from instrument.redaction import redact_text

_SEPARATE: Final = frozenset({"adapter"})
_MAX_ERROR: Final = 300
_numbers: Final = itertools.count(1)
_now: "ContextVar[Load | None]" = ContextVar("instrument_load", default=None)
_group: "ContextVar[Group | None]" = ContextVar("instrument_load_group", default=None)
_going_on: "Final[dict[int, Load]]" = {}
os.register_at_fork(after_in_child=_going_on.clear)

Begin = Callable[["Load", tuple[Any, ...], dict[str, Any]], None]
"""Adds to a load what the arguments of its call say."""
End = Callable[["Load", Any], None]
"""Adds to a load what its result says of itself."""


class Load:
    """A load, or a read of data, that goes on.

    Args:
        kind: As `ModelLoaded.what`; ``data`` for what is no model.
        loader: The call; it begins with the name of the library.
        requested: What the call was asked for.
        destination: Where the record goes.
        outer: The load it is part of.

    Attributes:
        kind: May be set when the result is known; so may the others.
        revision: As `ModelLoaded.revision`.
        commit: As `ModelLoaded.commit`.
        facts: As `ModelLoaded.facts`.
        rows: As `DataRead.rows`.
        schema: As `DataRead.schema`.
    """

    def __init__(
        self,
        kind: str,
        loader: str,
        requested: object,
        destination: Destination,
        outer: "Load | None",
    ) -> None:
        self.load_id = next(_numbers)
        self.kind = kind
        self.loader = loader
        self.requested = _name(requested)
        self.revision: str | None = None
        self.commit: str | None = None
        self.facts: dict[str, Any] = {}
        self.rows: int | None = None
        self.schema: dict[str, str] | None = None
        self.content = Content(
            self.load_id,
            destination.objects,
            destination.recorder,
            destination.data_limit_bytes if kind == "data" else None,
        )
        self.content.then = partial(
            tell_inputs, destination, self.requested, datetime.now(UTC), self.content.missed
        )
        self.outer = outer
        self._recorder = destination.recorder
        self._call_site = call_site()
        self._duration_seconds = 0.0
        self._started = time.perf_counter()

    def reads(self, source: object) -> None:
        """The load reads a file, given by its path or open, or from memory."""
        path = path_of(source)
        if path is not None:
            self.content.add(Path(path))
        elif isinstance(source, bytes):
            self.content.add_bytes(source)
        else:
            self.content.skip(f"was read from a {type(source).__name__}, which is no file")

    def around(
        self,
        wrapped: Callable[..., Any],
        end: End | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Make the call, and record it as this load."""
        token = _now.set(self)
        _going_on[self.load_id] = self
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            self._leave(token)
            self._finish(error_text(error))
            raise
        self._leave(token)
        remember(result, self.load_id, self.requested, self.content)
        if end is not None:
            try:
                end(self, result)
            except Exception as failure:
                self._recorder.problem(f"read what {self.loader} loaded", failure)
        self._finish(None)
        return result

    def _leave(self, token: Any) -> None:
        self._duration_seconds = time.perf_counter() - self._started
        _now.reset(token)
        _going_on.pop(self.load_id, None)

    def _finish(self, error: str | None) -> None:
        """Write the record; that of the content follows when it is known."""
        try:
            with cost(self._recorder):
                group = _group.get()
                if group is not None and self.outer is None:
                    group.give_to(self)
                self._recorder.record(self._record(error))
                self.content.finish(self.requested)
        except Exception as failure:
            self._recorder.problem(f"record a load by {self.loader}", failure)

    def _record(self, error: str | None) -> ModelLoaded | DataRead:
        common: dict[str, Any] = {
            "load_id": self.load_id,
            "library": _library(self.loader),
            "requested": self.requested,
            "facts": self.facts,
            "call_site": self._call_site,
            "duration_seconds": self._duration_seconds,
            "error": error,
        }
        if self.kind == "data":
            return DataRead(reader=self.loader, rows=self.rows, schema=self.schema, **common)
        return ModelLoaded(
            what=self.kind,
            loader=self.loader,
            revision=self.revision,
            commit=self.commit,
            parent_load_id=self.outer.load_id if self.outer is not None else None,
            **common,
        )


class Group:
    """A call that loads several things, each of which is a load of its own.

    Args:
        facts: What is told of each of them.
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        self._facts = facts
        self._paths: dict[str, None] = {}

    def reads(self, path: str) -> None:
        """A file that was read for all of them, outside of any."""
        self._paths[path] = None

    def give_to(self, load: Load) -> None:
        """What is told of each load."""
        load.facts |= self._facts
        if load.kind == "model":
            for path in self._paths:
                load.content.add(Path(path))


class LoadCall(msgspec.Struct, frozen=True):
    """What stands around a call that loads something (an `Around`).

    Attributes:
        kind: As `ModelLoaded.what`, or ``data``.
        loader: The name of the call, or what tells it from what the call is bound to.
        argument: The argument that says what is loaded.
        begin: Adds what the arguments say.
        end: Adds what the result says.
        file: The call reads one file, `argument`, or what it holds. Inside another load it is one
            of its files; alone it is told once for each state of the file.
        position: How many arguments come before it.
    """

    kind: str
    loader: Callable[[Any], str] | str
    argument: str
    begin: Begin | None = None
    end: End | None = None
    file: bool = False
    position: int = 0

    def __call__(
        self,
        wrapped: Callable[..., Any],
        instance: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Make the call, as a load or as a part of one."""
        try:
            with cost() as span:
                load = self._start(instance, args, kwargs)
                span.overhead = overhead_of(load.content.recorder) if load is not None else None
        except Exception as error:
            load = None
            problem(f"record the load of a {self.kind}", error)
        if load is None:
            return wrapped(*args, **kwargs)
        return load.around(wrapped, self.end, args, kwargs)

    def requested(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the call is asked for; None where it says nothing."""
        return args[self.position] if len(args) > self.position else kwargs.get(self.argument)

    def _start(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Load | None:
        """The load that the call is; None when it is a part of one, or has no record."""
        requested = self.requested(args, kwargs)
        outer = _now.get() or (_reader_of(requested) if self.file else None)
        if outer is not None and (self.kind not in _SEPARATE or outer.kind == self.kind):
            if self.file and path_of(requested) is not None:
                outer.reads(requested)
            return None
        found = session.find()
        if found is None or (self.kind == "config" and _group.get() is not None):
            return None
        name = self.loader if isinstance(self.loader, str) else self.loader(instance)
        if self.file and not is_news(found, name, path_of(requested)):
            return None
        load = Load(self.kind, name, requested, found, outer)
        if self.begin is not None:
            self.begin(load, args, kwargs)
        if self.file:
            load.reads(requested)
        return load


def current_load() -> Load | None:
    """The load that the calling code is part of."""
    return _now.get()


def current_group() -> Group | None:
    """The group of loads that the calling code is part of."""
    return _group.get()


@contextmanager
def group_of_loads(**facts: Any) -> Iterator[None]:
    """A block in which several things are loaded for one purpose, unless it is part of a load."""
    token = _group.set(Group(facts))
    try:
        yield
    finally:
        _group.reset(token)


def problem(doing: str, error: BaseException) -> None:
    """Tell of a failure of ours, on the record of the run that the calling code belongs to."""
    found = session.find()
    if found is not None:
        found.recorder.problem(doing, error)


def complete(recorder: Recorder, seconds: float) -> None:
    """See `instrument.intercept.complete`."""
    deadline = time.monotonic() + seconds
    late = wait_for_contents(recorder, seconds)
    tell_counts(recorder, max(deadline - time.monotonic(), 0))
    if late:
        error = TimeoutError(f"{late} not hashed after {seconds:g} seconds")
        recorder.problem("identify all that was loaded", error)


def call_site() -> str | None:
    """Where the user's code calls, as ``file:line``: the nearest frame that is no library's."""
    frame: Any = sys._getframe(1)  # noqa: SLF001 - the documented way to look at callers
    while frame is not None:
        path = frame.f_code.co_filename
        if not path.startswith(_LIBRARIES) and "site-packages" not in path:
            return f"{os.path.basename(path)}:{frame.f_lineno}"  # noqa: PTH119 - text of a frame
        frame = frame.f_back
    return None


_LIBRARIES: Final = (
    str(Path(__file__).resolve().parent.parent) + os.sep,
    str(Path(os.__file__).parent) + os.sep,
    "<frozen ",
)


def path_of(source: object) -> str | None:
    """The path of a file that is given by its path or open; None for anything else."""
    if not isinstance(source, (str, os.PathLike)):
        source = getattr(source, "name", None)
    if isinstance(source, (str, os.PathLike)):
        return os.path.abspath(os.fsdecode(source))  # noqa: PTH100 - links name the file
    return None


def error_text(error: BaseException) -> str:
    """Type and message, on a line, bounded and without secrets."""
    try:
        message = " ".join(str(error)[:MAX_TEXT].split())
    except Exception:
        message = "(its message cannot be read)"
    return redact_text(f"{type(error).__name__}: {message}")[:_MAX_ERROR]


def _reader_of(source: object) -> Load | None:
    """The load that reads a file in a thread of its own; threads do not inherit contexts."""
    path = path_of(source) if _going_on else None
    if path is None:
        return None
    return next((load for load in list(_going_on.values()) if load.content.has(Path(path))), None)


def _library(loader: str) -> str:
    name = loader.partition(".")[0]
    version = getattr(sys.modules.get(name), "__version__", None)
    return f"{name} {version}" if version is not None else name


def _name(requested: object) -> str | None:
    if not isinstance(requested, (str, os.PathLike)):
        requested = getattr(requested, "name", None)
    return plain(os.fsdecode(requested)) if isinstance(requested, (str, os.PathLike)) else None
