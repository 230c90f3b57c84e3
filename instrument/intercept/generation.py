"""Calls of models: each way of calling is told once, what follows of it is counted.

A million calls with the same settings are two records and a few counts. The last call is kept whole
(`Generation`), so that what is made of its result can be bound to it.
"""

import hashlib
import itertools
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NamedTuple, cast

import msgspec

from instrument.intercept.called_models import CalledModel
from instrument.intercept.facts import plain
from instrument.intercept.loads import call_site
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
        model: As `GenerationCalled.model`, as far as it is known now: ``digest`` is that of the
            files it was loaded from, and None when it was changed since.
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
        pattern: What it is like; known when its settings are.
        called: The model, as it is known.
        weight: How many calls stand for what recording this one costs; 0: it is not measured.
    """

    values: dict[str, Any] | None = None
    options: tuple[tuple[str, Any], ...] = ()
    template: dict[str, Any] | None = None
    random_state: RandomState | None = None
    prompts = sequences = 0
    prompt_tokens = new_tokens = prompt_length = 0
    seconds = ended_at = 0.0
    error: str | None = None
    pattern: "Pattern | None" = None
    called: CalledModel

    def __init__(self, model: Any, call: Callable[[Any], str], recorder: Any) -> None:
        self.model = model
        self.call = call
        self.recorder: Recorder = recorder
        try:
            self.weight: int = next(recorder.models_weights)
        except AttributeError:  # it takes no account
            self.weight = 0
        self.started = time.perf_counter()


class Pattern(NamedTuple):
    """What calls have in common that are counted as one way, and are told as the same.

    Attributes:
        call: The name of the call.
        values: As `Act.values`; so are the next two.
        options: What else decides the result.
        template: The chat template.
        way: What counts the calls.
    """

    call: str
    values: dict[str, Any] | None
    options: tuple[tuple[str, Any], ...]
    template: dict[str, Any] | None
    way: "Way"

    def fits(self, act: Act) -> bool:
        """Whether `act` is such a call; of the same model, as is known."""
        try:
            return (
                act.options == self.options
                and act.template is self.template
                and act.values == self.values
            )
        except Exception:  # arrays among the settings cannot be compared so
            return False


class Way:
    """One way of calling, and how often it was.

    Args:
        number: As `GenerationCalled.generation_id`.
        now: When the first such call began, by the monotonic clock.
    """

    def __init__(self, number: int, now: float) -> None:
        self.number = number
        self.random_state: RandomState | None = None
        self.calls = self.failed = self.told = 0
        self.prompts = self.sequences = self.prompt_tokens = self.new_tokens = 0
        self.seconds = 0.0
        self.error: str | None = None
        self.first_at = self.told_at = now

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
        self._numbers = itertools.count(1)
        self._models: dict[int, CalledModel] = {}
        self._patterns: dict[int, tuple[Pattern, ...]] = {}
        self._ways: dict[str, Way] = {}
        self.last: Act | None = None

    def begin(self, act: Act) -> Pattern:
        """What `act` is like, whose settings are known now; what is new is told."""
        model = self._models.get(id(act.model))
        if model is None or not model.is_surely(act.model):
            with self._lock:
                model = self._look_at(act.model)
        act.called = model
        for pattern in self._patterns.get(model.number, ()):
            if pattern.fits(act):
                act.pattern = pattern
                return pattern
        with self._lock:
            name = act.call(act.model)
            way = self._way(act, name)
            act.pattern = Pattern(name, act.values, act.options, act.template, way)
            known = (act.pattern, *self._patterns.get(model.number, ()))
            self._patterns[model.number] = known[:_KEPT_BY_MODEL]
        return act.pattern

    def end(self, act: Act) -> None:
        """`act` has ended."""
        way = (act.pattern or self.begin(act)).way
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

    def _look_at(self, model: Any) -> CalledModel:
        """The number of `model`: a new one for another at its address, and when it has changed."""
        known = self._models.get(id(model))
        if known is None or not known.is_still(model):
            number = next(self._numbers)
            known = CalledModel(model, number, partial(self._forget, id(model), number))
            self._models[id(model)] = known
        return known

    def _forget(self, address: int, number: int, _: object) -> None:
        """A model is gone; no lock, as this may be called anywhere."""
        self._patterns.pop(number, None)
        known = self._models.get(address)
        if known is not None and known.number == number:
            self._models.pop(address, None)

    def _way(self, act: Act, name: str) -> Way:
        """The way of `act` by what can be told of it: equal settings need not be equal objects.

        Beyond the limit are two more: that of the first model that gets there, and that of all
        others, which names none.
        """
        settings = _settings(act.values)
        told = msgspec.json.encode(settings, order="sorted")
        key = f"{act.called.number} {name} {act.options} {act.template} {told!r}"
        record = _record(act, name, settings)
        if key not in self._ways and len(self._ways) >= MAX_WAYS:
            key, record = f"others {act.called.number}", _without_settings(record)
            if key not in self._ways and len(self._ways) > MAX_WAYS:
                key, record = "others", _without_model(record)
        if key not in self._ways:
            number = len(self._ways) + 1
            self._ways[key] = Way(number, act.started)
            act.recorder.record(msgspec.structs.replace(record, generation_id=number))
        return self._ways[key]


def _record(act: Act, name: str, settings: dict[str, Any] | None) -> GenerationCalled:
    library = name.partition(".")[0]
    version = getattr(sys.modules.get(library), "__version__", None)
    return GenerationCalled(
        generation_id=0,
        call=name,
        library=f"{library} {version}" if version is not None else library,
        model=act.called.facts(),
        settings=settings,
        options=dict(act.options),
        chat_template=act.template,
        random_state=random_facts(act.random_state),
        call_site=call_site(),
    )


def _without_settings(record: GenerationCalled) -> GenerationCalled:
    return msgspec.structs.replace(
        record, settings=None, options={}, chat_template=None, call_site=None
    )


def _without_model(record: GenerationCalled) -> GenerationCalled:
    library = record.call.partition(".")[0]
    return msgspec.structs.replace(record, call=f"{library}.(several models)", model={})


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
    return _told(act, cast("Pattern", act.pattern)) if act is not None else None


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


def _told(act: Act, pattern: Pattern) -> Generation:
    act.called.wait(MAX_WAIT_SECONDS)
    return Generation(
        call=pattern.call,
        model=act.called.facts(),
        settings=_settings(act.values),
        options=dict(act.options),
        chat_template=dict(act.template) if act.template is not None else None,
        random_state=random_facts(act.random_state),
        generation_id=pattern.way.number,
        prompts=act.prompts,
        sequences=act.sequences,
        prompt_tokens=act.prompt_tokens,
        new_tokens=act.new_tokens,
        duration_seconds=act.seconds,
        at=datetime.fromtimestamp(act.ended_at, UTC),
        error=act.error,
    )
