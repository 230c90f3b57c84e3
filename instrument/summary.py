"""A run as one value, folded from its records.

The fold is a pure function of the journals: each journal is read in its own order, and what
several journals say is merged in the order of the journals' names, metrics by their time.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from instrument.readings import Phases, Readings, Trace
from instrument.records import (
    ArtifactLogged,
    ArtifactUsed,
    CallStarted,
    CodeCaptured,
    ContentIdentified,
    DataRead,
    Entry,
    EnvironmentCaptured,
    ExceptionRaised,
    GenerationCalled,
    GenerationsCounted,
    LoadsCounted,
    Metrics,
    ModelLoaded,
    Params,
    PhaseFinished,
    PhaseStarted,
    Problem,
    ProcessFinished,
    ProcessStarted,
    RecordsLost,
    RunFinished,
    RunStarted,
    SeedsRecorded,
    TelemetrySampled,
    TelemetrySummarised,
)
from instrument.vocabulary import GitState, Health, RunState

_COUNTS = (
    "calls",
    "failed",
    "prompts",
    "sequences",
    "prompt_tokens",
    "new_tokens",
    "duration_seconds",
)


class Recording(msgspec.Struct, kw_only=True):
    """How whole the record is.

    Attributes:
        complete: True when the run ended in order and nothing was lost or failed.
        problems: What was lost or failed, and why, one line each.
        notes: What was left out on purpose, or may be missing, one line each.
        overhead: Seconds that recording cost, summed over the processes.
    """

    complete: bool = False
    problems: list[str] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)
    overhead: dict[str, float] = msgspec.field(default_factory=dict)


class RunSummary(msgspec.Struct, kw_only=True):
    """A run in JSON (fixed: people and programs rely on these names).

    Attributes:
        id: The run's id.
        name: What the user calls it.
        project: The group it belongs to.
        state: RUNNING, COMPLETED, FAILED or INTERRUPTED.
        started_at: UTC.
        ended_at: UTC; None while it runs, and of an interrupted run the time of its last record.
        duration_seconds: By a monotonic clock where the run ended in order; else `ended_at` less
            `started_at`.
        attempts: How often it was started.
        params: Parameters by dotted name.
        metrics: Last value of each metric.
        tags: Words to find it by.
        function: ``module:qualname`` of the function that is the run.
        parent_run_id: The run inside which it was started.
        session_id: The session it belongs to.
        command: Command line of its owner.
        git: State of the repository at the start.
        host: Host of its owner.
        rank_count: Number of processes it was started with.
        inputs: References of the artifacts it used, in order of first use.
        outputs: References of the artifacts it logged, in order.
        models: What it loaded (models, tokenizers, weights), by content, in order: ``what, loader,
            requested, commit, digest, size_bytes`` and what else `ModelLoaded.facts` tells; a load
            that failed is left out. None while nothing watches loads, as in a command that does not
            use the recorder.
        data: What data it read through libraries that are watched, by content, in order: ``reader,
            requested, rows, schema, digest, size_bytes`` and what else `DataRead.facts` tells; as
            `models`.
        generations: How it called models, each way once, in order: ``call, model, settings,
            options, chat_template, random_state`` as in `GenerationCalled`, and the counts of
            `GenerationsCounted`. None while nothing watches calls.
        seeds: The last `SeedsRecorded` of its owner.
        exception: ``type`` and ``message`` of what ended it.
        exit_code: Exit code of the recorded command.
        telemetry: The hardware: ``samples``, ``interval_seconds``, ``readings``, ``columns``,
            ``energy`` as in `TelemetrySummarised`; ``phases`` by name, each with ``count``,
            ``duration_seconds``, ``cpu_seconds``, ``open`` passes, ``readings`` and the number of
            ``processes`` that told of it. The owner's word is told, else the first process's.
        recording: How whole the record is.
        environment: Digest of the snapshot of the environment.
    """

    id: str
    name: str = ""
    project: str | None = None
    state: RunState = RunState.RUNNING
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_seconds: float | None = None
    attempts: int = 0
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    metrics: dict[str, float | str] = msgspec.field(default_factory=dict)
    tags: tuple[str, ...] = ()
    function: str | None = None
    parent_run_id: str | None = None
    session_id: str | None = None
    command: tuple[str, ...] = ()
    git: GitState | None = None
    host: str | None = None
    rank_count: int = 1
    inputs: list[str] = msgspec.field(default_factory=list)
    outputs: list[str] = msgspec.field(default_factory=list)
    models: list[dict[str, Any]] | None = None
    data: list[dict[str, Any]] | None = None
    generations: list[dict[str, Any]] | None = None
    seeds: dict[str, Any] | None = None
    exception: dict[str, str] | None = None
    exit_code: int | None = None
    telemetry: dict[str, Any] = msgspec.field(default_factory=dict)
    recording: Recording = msgspec.field(default_factory=Recording)
    environment: str | None = None


def summarise(run_id: str, entries: Iterable[Entry], *, alive: bool) -> RunSummary:
    """The summary of a run.

    Args:
        run_id: The run.
        entries: All its entries, each journal in order.
        alive: Whether a process that writes for it still lives; decides between RUNNING and
            INTERRUPTED when no record tells the end.
    """
    fold = _Fold(run_id)
    for entry in entries:
        fold.add(entry)
    return fold.result(alive=alive)


class _Fold:
    """Takes entries one by one; knows what to do with each kind."""

    def __init__(self, run_id: str) -> None:
        self.summary = RunSummary(id=run_id)
        self._metric_times: dict[str, tuple[str, datetime]] = {}
        self._processes: dict[str, ProcessStarted] = {}
        self._loads: dict[tuple[str, int], dict[str, Any]] = {}
        self._generations: dict[tuple[str, int], dict[str, Any]] = {}
        self._closed: set[str] = set()
        self._command_environment: str | None = None
        self._foreign: str | None = None
        self._python_told = False
        self._code: CodeCaptured | None = None
        self._samples = 0
        self._told_by_owner = False
        self._readings = Readings()
        self._traces: defaultdict[str, Trace] = defaultdict(Trace)
        self._phases: defaultdict[str, Phases] = defaultdict(Phases)
        self._exceptions: dict[int, dict[str, str]] = {}
        self._presented: list[tuple[int, bool, RunStarted]] = []
        self._finished: tuple[int, datetime, RunFinished] | None = None
        self._first: datetime | None = None
        self._last: datetime | None = None

    def add(self, entry: Entry) -> None:
        self._entry = entry
        if self._first is None or entry.at < self._first:
            self._first = entry.at
        if self._last is None or entry.at > self._last:
            self._last = entry.at
        handler = _HANDLERS.get(type(entry.record))
        if handler is not None:
            handler(self, entry.record)

    def result(self, *, alive: bool) -> RunSummary:
        summary = self.summary
        summary.started_at = self._first
        summary.attempts = max((p.attempt for p in self._processes.values()), default=0)
        self._set_identity()
        summary.exception = self._exceptions.get(summary.attempts)
        self._set_end(alive=alive)
        recording = summary.recording
        if self._code is not None and self._code.git is not None and self._code.reason:
            recording.notes.append(f"code: {self._code.reason}")
        if summary.state is not RunState.RUNNING:
            self._tell_unclosed()
        if self._samples and not self._told_by_owner:
            self._summarise_samples()
        summary.environment = self._command_environment or summary.environment
        if self._foreign is not None and not self._python_told:
            recording.notes.append(f"environment: not that of the command: {self._foreign}")
        self._tell_generations()
        self._tell_phases()
        recording.complete = summary.state is not RunState.RUNNING and not recording.problems
        return summary

    def _tell_unclosed(self) -> None:
        """Journals without an end: of the owner, the run broke off; of a worker, it was ended."""
        recording = self.summary.recording
        ended = {self._processes[name].writer_id for name in self._closed & set(self._processes)}
        for name, process in sorted(self._processes.items()):
            if process.writer_id in ended:  # in this file, or in the one that it went on in
                continue
            who = f"process {process.pid} on {process.host}"
            if process.owner:
                recording.problems.append(f"{who} ended without closing the run (journal {name})")
            else:
                recording.notes.append(f"{who} was ended before it closed its journal {name}")

    def _summarise_samples(self) -> None:
        """The samples of a run that could not summarise them itself."""
        self.summary.telemetry = {
            "samples": self._samples,
            "interval_seconds": None,
            "readings": self._readings.summary(),
        }

    def _tell_phases(self) -> None:
        """Each phase as one process told it, the owner's word first."""
        told: dict[str, dict[str, Any]] = {}
        for writer in sorted(self._phases, key=lambda name: not self._is_owner(name)):
            for path, phase in self._phases[writer].summary().items():
                told.setdefault(path, {**phase, "processes": 0})["processes"] += 1
            if left_out := self._phases[writer].left_out:
                self.summary.recording.notes.append(f"{left_out} phases more than are told")
        if told:
            self.summary.telemetry["phases"] = told

    def _is_owner(self, writer: str) -> bool:
        process = self._processes.get(writer)
        return process is None or process.owner

    def _set_identity(self) -> None:
        """Who the run is: its owner's last word, completed by the command that it records."""
        if not self._presented:
            return
        ranked = sorted(self._presented, key=lambda word: (word[1], word[0]), reverse=True)
        words = [record for *_, record in ranked]  # the owner's first, the latest attempt's first
        first, summary = words[0], self.summary
        summary.name = next((word.name for word in words if word.named), first.name)
        summary.project = next((word.project for word in words if word.project), None)
        summary.session_id = next((word.session_id for word in words if word.session_id), None)
        summary.tags = tuple(dict.fromkeys(tag for word in words for tag in word.tags))
        summary.function = first.function or summary.function
        summary.parent_run_id = first.parent_run_id

    def _set_end(self, *, alive: bool) -> None:
        summary = self.summary
        if self._finished is None or self._finished[0] < summary.attempts:
            summary.state = RunState.RUNNING if alive else RunState.INTERRUPTED
            summary.ended_at = None if alive else self._last
            if summary.ended_at and summary.started_at:
                elapsed = summary.ended_at - summary.started_at
                summary.duration_seconds = elapsed.total_seconds()
            return
        _, at, finished = self._finished
        summary.state = finished.state
        if finished.state is RunState.COMPLETED:
            summary.exception = None  # one that left a decorated call and was handled
        summary.ended_at = at
        summary.duration_seconds = finished.duration_seconds
        summary.exit_code = finished.exit_code

    def process_started(self, record: ProcessStarted) -> None:
        self._processes[self._entry.writer] = record
        self.summary.rank_count = max(self.summary.rank_count, record.world_size)
        if record.owner:
            self.summary.host = record.host
            self.summary.command = record.command

    def run_started(self, record: RunStarted) -> None:
        process = self._processes.get(self._entry.writer)
        owner, attempt = (process.owner, process.attempt) if process else (True, 1)
        self._presented.append((attempt, owner, record))

    def code_captured(self, record: CodeCaptured) -> None:
        self.summary.git = record.git
        self._code = record

    def environment_captured(self, record: EnvironmentCaptured) -> None:
        if record.snapshot is not None:
            self.summary.environment = record.snapshot
        recording = self.summary.recording
        for health in record.health:
            if health.status in {"failed", "timed_out"}:
                how = health.status.replace("_", " ")
                recording.problems.append(f"capture of {health.part} {how}: {health.reason}")
            elif health.part == "command":
                self._command(record, health)
            elif health.part.startswith("interception"):
                note = f"{health.part} {health.status}: {health.reason}"
                recording.notes += [note] if note not in recording.notes else []

    def _command(self, record: EnvironmentCaptured, health: Health) -> None:
        """A command's environment may be another; a Python in it says that it is not, or which."""
        if health.status == "done":
            self._python_told = True
            self._command_environment = record.snapshot or self._command_environment
        else:
            self._foreign = health.reason

    def seeds_recorded(self, record: SeedsRecorded) -> None:
        seeds = msgspec.structs.asdict(record)
        if record.seed is not None or self.summary.seeds is None:
            self.summary.seeds = seeds

    def params(self, record: Params) -> None:
        self.summary.params.update(record.values)

    def metrics(self, record: Metrics) -> None:
        times, at, writer = self._metric_times, self._entry.at, self._entry.writer
        for name, value in record.values.items():
            last = times.get(name)
            # In one journal the order counts: clocks jump.
            if last is None or last[0] == writer or at >= last[1]:
                times[name] = writer, at
                self.summary.metrics[name] = value

    def artifact_logged(self, record: ArtifactLogged) -> None:
        if record.ref not in self.summary.outputs:
            self.summary.outputs.append(record.ref)

    def artifact_used(self, record: ArtifactUsed) -> None:
        if record.ref not in self.summary.inputs:
            self.summary.inputs.append(record.ref)

    def model_loaded(self, record: ModelLoaded) -> None:
        if record.error is not None:
            return
        told = {
            "what": record.what,
            "loader": record.loader,
            "requested": record.requested,
            "commit": record.commit,
        }
        self.summary.models = self.summary.models or []
        self.summary.models.append(self._load(record, told))

    def data_read(self, record: DataRead) -> None:
        if record.error is not None:
            return
        told = {
            "reader": record.reader,
            "requested": record.requested,
            "rows": record.rows,
            "schema": record.schema,
        }
        self.summary.data = self.summary.data or []
        self.summary.data.append(self._load(record, told))

    def _load(self, record: ModelLoaded | DataRead, told: dict[str, Any]) -> dict[str, Any]:
        """What is `told` of a load, and what it says itself; its content is known later."""
        load = {**record.facts, **told, "digest": None, "size_bytes": None}
        self._loads[self._entry.writer, record.load_id] = load
        return load

    def content_identified(self, record: ContentIdentified) -> None:
        load = self._loads.get((self._entry.writer, record.load_id))
        if load is not None:
            load["digest"] = record.digest
            load["size_bytes"] = sum(file.size_bytes for file in record.files)
            if record.reason is not None:
                load["reason"] = record.reason

    def loads_counted(self, record: LoadsCounted) -> None:
        if record.left_out:
            note = f"{record.left_out} more calls of {record.loader} than are told"
            self.summary.recording.notes.append(note)
        if record.files:
            self.summary.data = self.summary.data or []
            more = f"({record.files} more)"
            told = {"reader": record.loader, "requested": more, "rows": None, "schema": None}
            content = {"digest": record.digest, "size_bytes": record.size_bytes}
            reason = {"reason": record.reason} if record.reason is not None else {}
            self.summary.data.append(told | content | reason)

    def generation_called(self, record: GenerationCalled) -> None:
        way = msgspec.structs.asdict(record)
        way |= dict.fromkeys(_COUNTS, 0)
        del way["generation_id"], way["library"], way["call_site"]
        self._generations[self._entry.writer, record.generation_id] = way

    def generations_counted(self, record: GenerationsCounted) -> None:
        way = self._generations.get((self._entry.writer, record.generation_id))
        if way is not None:
            way |= {name: getattr(record, name) for name in _COUNTS}
            if record.error is not None:
                way["error"] = record.error

    def _tell_generations(self) -> None:
        """Each way of calling, with the digest of its model, which is known later."""
        if not self._generations:
            return
        for (writer, _), way in self._generations.items():
            load = self._loads.get((writer, way["model"].get("load_id", 0)))
            if load is not None:
                way["model"] = {**way["model"], "digest": load["digest"]}
        self.summary.generations = list(self._generations.values())
        for writer in sorted({writer for writer, _ in self._generations} - self._closed):
            if self.summary.state is not RunState.RUNNING:
                self.summary.recording.notes.append(
                    f"calls of models: the last counts of journal {writer} may be missing"
                )

    def call_started(self, record: CallStarted) -> None:
        if self.summary.function is None and record.parent_call_id is None:
            self.summary.function = record.function

    def telemetry_sampled(self, record: TelemetrySampled) -> None:
        writer = self._entry.writer
        values, seconds = self._traces[writer].take(
            record.values, record.elapsed_seconds, whole=record.whole
        )
        if self._is_owner(writer):
            self._samples += 1
            self._readings.add(values, seconds)
        if writer in self._phases:
            self._phases[writer].add(values, seconds)

    def telemetry_summarised(self, record: TelemetrySummarised) -> None:
        self.summary.recording.notes += record.notes
        is_owner = self._is_owner(self._entry.writer)
        if self.summary.telemetry and not is_owner:
            return
        self._told_by_owner |= is_owner
        self.summary.telemetry = {
            "samples": record.samples,
            "interval_seconds": record.interval_seconds,
            "readings": record.values,
            "columns": record.columns,
            "energy": record.energy,
        }

    def phase_started(self, record: PhaseStarted) -> None:
        self._phases[self._entry.writer].started(record.phase)

    def phase_finished(self, record: PhaseFinished) -> None:
        self._phases[self._entry.writer].finished(
            record.phase,
            record.duration_seconds,
            record.cpu_seconds,
            record.gpu_memory_peak_bytes,
        )

    def problem(self, record: Problem) -> None:
        self.summary.recording.problems.append(
            f"could not {record.doing}: {record.error}: {record.message}"
        )

    def records_lost(self, record: RecordsLost) -> None:
        self._traces[self._entry.writer].forget()
        self.summary.recording.problems.append(f"{record.count} records lost: {record.reason}")

    def exception(self, record: ExceptionRaised) -> None:
        self._exceptions[self._attempt()] = {"type": record.type, "message": record.message}

    def run_finished(self, record: RunFinished) -> None:
        finished = (self._attempt(), self._entry.at, record)
        if self._finished is None or finished[:2] > self._finished[:2]:
            self._finished = finished

    def _attempt(self) -> int:
        """The attempt that the current entry's journal belongs to."""
        process = self._processes.get(self._entry.writer)
        return process.attempt if process else 1

    def process_finished(self, record: ProcessFinished) -> None:
        self._closed.add(self._entry.writer)
        overhead = self.summary.recording.overhead
        for name, seconds in record.overhead.items():
            overhead[name] = overhead.get(name, 0.0) + seconds


_HANDLERS: dict[type, Any] = {
    ProcessStarted: _Fold.process_started,
    RunStarted: _Fold.run_started,
    CodeCaptured: _Fold.code_captured,
    EnvironmentCaptured: _Fold.environment_captured,
    SeedsRecorded: _Fold.seeds_recorded,
    Params: _Fold.params,
    Metrics: _Fold.metrics,
    ArtifactLogged: _Fold.artifact_logged,
    ArtifactUsed: _Fold.artifact_used,
    ModelLoaded: _Fold.model_loaded,
    DataRead: _Fold.data_read,
    ContentIdentified: _Fold.content_identified,
    LoadsCounted: _Fold.loads_counted,
    GenerationCalled: _Fold.generation_called,
    GenerationsCounted: _Fold.generations_counted,
    CallStarted: _Fold.call_started,
    TelemetrySampled: _Fold.telemetry_sampled,
    TelemetrySummarised: _Fold.telemetry_summarised,
    PhaseStarted: _Fold.phase_started,
    PhaseFinished: _Fold.phase_finished,
    Problem: _Fold.problem,
    RecordsLost: _Fold.records_lost,
    ExceptionRaised: _Fold.exception,
    RunFinished: _Fold.run_finished,
    ProcessFinished: _Fold.process_finished,
}
