"""Calls of models: each way of calling is told once, what follows of it is counted.

A million calls with the same settings are two records and a few counts. The last call is kept whole
(`Generation`), so that what is made of its result can be bound to it.
"""

import hashlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec

from instrument.intercept.facts import plain
from instrument.intercept.loads import call_site
from instrument.intercept.origins import origin_of
from instrument.protocols import Recorder
from instrument.records import GenerationCalled, GenerationsCounted

MAX_WAYS: Final = 200
"""Ways of calling that are told, in one process of a run."""
MAX_WAIT_SECONDS: Final = 30.0
_INTERVAL_SECONDS: Final = 10.0
_SHARE: Final = 0.1
_KEPT_BY_MODEL: Final = 8

RandomState = tuple[int, Any, tuple[tuple[int, int], ...]]
"""Seed and state of torch's CPU generator, and seed and offset of that of each GPU."""


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a model that has ended: what it really used.

    Attributes:
        call: As `GenerationCalled.call`; so are the next five.
        model: What is known of it now; ``digest`` is that of the files it was loaded from.
        settings: The settings as the library resolved them; None when they are not known.
        options: What else decides the result.
        chat_template: The chat template that was applied last before.
        random_state: When this very call began; None where it did not sample.
        generation_id: Number of its `GenerationCalled` record.
        prompts: Prompts that it was given.
        sequences: Sequences that it returned.
        prompt_tokens: Tokens of the prompts, filling included.
        new_tokens: Tokens that it generated, filling included.
        duration_seconds: How long it took.
        at: When it ended, UTC.
        error: What ended it, if that was an exception.
    """

    call: str
    model: dict[str, Any]
    settings: dict[str, Any] | None
    options: dict[str, Any]
    chat_template: dict[str, Any] | None
    random_state: dict[str, Any] | None
    generation_id: int
    prompts: int
    sequences: int
    prompt_tokens: int
    new_tokens: int
    duration_seconds: float
    at: datetime
    error: str | None


class Act:
    """A call of a model that goes on.

    Args:
        model: The model; let go when the call ends.
        call: Gives the name of the call, the library's first.
        recorder: Takes what is recorded of it; let go when the call ends.

    Attributes:
        values: The settings, as the library has them; not changed once the call has a way.
        options: Names and classes of what else decides the result.
        template: Facts of the chat template; the same object for the same template.
        random_state: When it began.
        prompt_length: How much of each returned sequence is the prompt.
    """

    values: dict[str, Any] | None = None
    options: tuple[tuple[str, Any], ...] = ()
    template: dict[str, Any] | None = None
    random_state: RandomState | None = None
    prompts = sequences = 0
    prompt_tokens = new_tokens = prompt_length = 0
    seconds = ended_at = 0.0
    error: str | None = None
    way: "Way | None" = None

    def __init__(self, model: Any, call: Callable[[Any], str], recorder: Recorder) -> None:
        self.model = model
        self.call = call
        self.recorder = recorder
        self.started = time.perf_counter()

    def goes(self, way: "Way") -> bool:
        """Whether the call is one of those that `way` counts."""
        try:
            return (
                self.options == way.options
                and self.template is way.template
                and self.values == way.values
            )
        except Exception:  # arrays among the settings cannot be compared so
            return False


class Way:
    """One way of calling one model, and how often it was.

    Args:
        act: The first such call.
        number: As `GenerationCalled.generation_id`.
        settings: As `GenerationCalled.settings`.
    """

    def __init__(self, act: Act, number: int, settings: dict[str, Any] | None) -> None:
        self.number = number
        self.settings = settings
        self.values = act.values
        self.options = act.options
        self.template = act.template
        self.call = act.call(act.model)
        self.class_name = type(act.model).__qualname__
        self.origin = origin_of(act.model)
        self.random_state = act.random_state
        self.calls = self.failed = self.told = 0
        self.prompts = self.sequences = self.prompt_tokens = self.new_tokens = 0
        self.seconds = 0.0
        self.error: str | None = None
        self.first_at = self.told_at = act.started

    def count(self, act: Act, now: float) -> bool:
        """Add a call that has ended; whether it is time to tell."""
        self.calls += 1
        self.prompts += act.prompts
        self.sequences += act.sequences
        self.prompt_tokens += act.prompt_tokens
        self.new_tokens += act.new_tokens
        self.seconds += act.seconds
        self.random_state = act.random_state
        if act.error is not None:
            self.failed += 1
            self.error = act.error
        waited = now - self.told_at
        return self.calls == 1 or (
            waited >= _INTERVAL_SECONDS and waited >= _SHARE * (now - self.first_at)
        )

    def model(self) -> dict[str, Any]:
        """What is known of the model now."""
        told = {"class_name": self.class_name}
        return told if self.origin is None else told | self.origin.facts()

    def called(self) -> GenerationCalled:
        """The record of the first call."""
        library = self.call.partition(".")[0]
        version = getattr(sys.modules.get(library), "__version__", None)
        return GenerationCalled(
            generation_id=self.number,
            call=self.call,
            library=f"{library} {version}" if version is not None else library,
            model=self.model(),
            settings=self.settings,
            options=dict(self.options),
            chat_template=self.template,
            random_state=random_facts(self.random_state),
            call_site=call_site(),
        )

    def counted(self) -> GenerationsCounted:
        """The record of all calls until now."""
        return GenerationsCounted(
            generation_id=self.number,
            calls=self.calls,
            failed=self.failed,
            prompts=self.prompts,
            sequences=self.sequences,
            prompt_tokens=self.prompt_tokens,
            new_tokens=self.new_tokens,
            duration_seconds=self.seconds,
            error=self.error,
            random_state=random_facts(self.random_state),
        )


class Tally:
    """What was called in one run, by this process. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may generate too
        self._by_model: dict[int, tuple[weakref.ref[Any], tuple[Way, ...]]] = {}
        self._ways: dict[str, Way] = {}
        self.last: Act | None = None

    def begin(self, act: Act) -> "Way":
        """The way of `act`, whose settings are known now; a new one is told."""
        known = self._by_model.get(id(act.model))
        if known is not None and known[0]() is act.model:
            for way in known[1]:
                if act.goes(way):
                    act.way = way
                    return way
        with self._lock:
            act.way = way = self._look_up(act)
            before = known[1] if known is not None and known[0]() is act.model else ()
            ways = (way, *before)[:_KEPT_BY_MODEL]
            self._by_model[id(act.model)] = weakref.ref(act.model), ways
        return way

    def end(self, act: Act) -> None:
        """`act` has ended."""
        way = act.way or self.begin(act)
        recorder, now = act.recorder, act.started + act.seconds
        act.ended_at = time.time()
        act.model = act.recorder = None  # type: ignore[assignment]  # neither is kept alive
        with self._lock:
            self.last = act
            if way.count(act, now):
                self._tell(way, recorder, now)
        _last_here.set((self, act))

    def tell(self, recorder: Recorder) -> None:
        """Write the counts that are not written."""
        with self._lock:
            for way in self._ways.values():
                if way.told < way.calls:
                    self._tell(way, recorder, time.perf_counter())

    def _tell(self, way: Way, recorder: Recorder, now: float) -> None:
        way.told_at = now
        way.told = way.calls
        recorder.record(way.counted())

    def _look_up(self, act: Act) -> Way:
        """The way of `act` by what can be told of it: equal settings need not be equal objects."""
        settings = _settings(act.values)
        told = msgspec.json.encode(settings, order="sorted")
        key = f"{id(act.model)} {act.options} {act.template} {told!r}"
        if key not in self._ways and len(self._ways) >= MAX_WAYS:
            key, settings = "others", None
        if key not in self._ways:
            self._ways[key] = Way(act, len(self._ways) + 1, settings)
            act.recorder.record(self._ways[key].called())
        return self._ways[key]


_tallies: Final[dict[int, tuple[weakref.ref[Recorder], Tally]]] = {}
_last_here: "ContextVar[tuple[Tally, Act] | None]" = ContextVar("instrument_last", default=None)
os.register_at_fork(after_in_child=_tallies.clear)


def tally_of(recorder: Recorder) -> Tally:
    """What counts the calls of `recorder`'s run."""
    key = id(recorder)  # a look-up by id costs a quarter of one by weak reference
    found = _tallies.get(key)
    if found is None or found[0]() is not recorder:
        found = weakref.ref(recorder, lambda _: _tallies.pop(key, None)), Tally()
        found = _tallies.setdefault(key, found)
    return found[1]


def last_generation(recorder: Recorder) -> Generation | None:
    """The last call of a model that ended in this thread or task, else in the run; None for none.

    Waits for the digest of the model where it is not known yet, at most `MAX_WAIT_SECONDS`.
    """
    if id(recorder) not in _tallies:
        return None
    tally = tally_of(recorder)
    here = _last_here.get()
    act = here[1] if here is not None and here[0] is tally else tally.last
    return _told(act, cast("Way", act.way)) if act is not None else None


def complete(recorder: Recorder) -> None:
    """Write the counts of `recorder`'s run that are not written."""
    if id(recorder) in _tallies:
        tally_of(recorder).tell(recorder)


def random_state(*, everywhere: Any) -> RandomState:
    """The state of torch's generators now; looking changes nothing and starts no GPU.

    Args:
        everywhere: The module `torch`.
    """
    cuda = everywhere.cuda
    gpus = cuda.default_generators if cuda.is_initialized() else ()
    states = tuple((gpu.initial_seed(), gpu.get_offset()) for gpu in gpus)
    generator = everywhere.default_generator
    return generator.initial_seed(), generator.get_state(), states


def random_facts(state: RandomState | None) -> dict[str, Any] | None:
    """Seed and digests, as `SeedsRecorded.states` has them."""
    if state is None:
        return None
    seed, cpu, gpus = state
    facts: dict[str, Any] = {"seed": seed, "torch": _digest(bytes(cpu.tolist()))}
    for index, (gpu_seed, offset) in enumerate(gpus):
        data = gpu_seed.to_bytes(8, sys.byteorder) + offset.to_bytes(8, sys.byteorder)
        facts[f"torch.cuda.{index}"] = _digest(data)
    return facts


def _digest(state: bytes) -> str:
    return f"sha256:{hashlib.sha256(state).hexdigest()}"


def _settings(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Those that are set; of no name here is the value a secret, though some look so."""
    if values is None:
        return None
    return {
        str(name): plain(value)
        for name, value in values.items()
        if value is not None and not str(name).startswith("_")
    }


def _told(act: Act, way: Way) -> Generation:
    if way.origin is not None:
        way.origin.content.wait(MAX_WAIT_SECONDS)
    return Generation(
        call=way.call,
        model=way.model(),
        settings=dict(way.settings) if way.settings is not None else None,
        options=dict(way.options),
        chat_template=dict(way.template) if way.template is not None else None,
        random_state=random_facts(act.random_state),
        generation_id=way.number,
        prompts=act.prompts,
        sequences=act.sequences,
        prompt_tokens=act.prompt_tokens,
        new_tokens=act.new_tokens,
        duration_seconds=act.seconds,
        at=datetime.fromtimestamp(act.ended_at, UTC),
        error=act.error,
    )
