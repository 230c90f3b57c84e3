"""The fold: each record goes to the part of the summary that it speaks of."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

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
from instrument.summary.hardware import Hardware
from instrument.summary.life import Life
from instrument.summary.loads import Loads
from instrument.summary.run import RunSummary
from instrument.vocabulary import Health, RunState

if TYPE_CHECKING:
    from datetime import datetime

_MOST_PARAMS_TOLD: Final = 20
_MOST_OF_VALUE: Final = 80


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
    """Takes entries one by one; knows which part of the summary each kind speaks of."""

    def __init__(self, run_id: str) -> None:
        self._summary = RunSummary(id=run_id)
        self._life = Life(self._summary)
        self._logged = _Logged(self._summary)
        self._surroundings = _Surroundings(self._summary)
        self._loads = Loads(self._summary, self._life)
        self._hardware = Hardware(self._summary, self._life)
        self._handlers: dict[type, Callable[[Any, Entry], None]] = {
            ProcessStarted: self._life.process_started,
            RunStarted: self._life.run_started,
            CodeCaptured: self._surroundings.code_captured,
            EnvironmentCaptured: self._surroundings.environment_captured,
            SeedsRecorded: self._surroundings.seeds_recorded,
            Params: self._logged.params,
            Metrics: self._logged.metrics,
            ArtifactLogged: self._logged.artifact_logged,
            ArtifactUsed: self._logged.artifact_used,
            ModelLoaded: self._loads.model_loaded,
            DataRead: self._loads.data_read,
            ContentIdentified: self._loads.content_identified,
            LoadsCounted: self._loads.loads_counted,
            GenerationCalled: self._loads.generation_called,
            GenerationsCounted: self._loads.generations_counted,
            CallStarted: self._logged.call_started,
            TelemetrySampled: self._hardware.telemetry_sampled,
            TelemetrySummarised: self._hardware.telemetry_summarised,
            PhaseStarted: self._hardware.phase_started,
            PhaseFinished: self._hardware.phase_finished,
            Problem: self._logged.problem,
            RecordsLost: self._hardware.records_lost,
            ExceptionRaised: self._life.exception,
            RunFinished: self._life.run_finished,
            ProcessFinished: self._life.process_finished,
        }

    def add(self, entry: Entry) -> None:
        self._life.saw(entry)
        handler = self._handlers.get(type(entry.record))
        if handler is not None:
            handler(entry.record, entry)

    def result(self, *, alive: bool) -> RunSummary:
        summary = self._summary
        self._life.tell(alive=alive)
        self._surroundings.tell_code()
        self._surroundings.tell_seeds()
        if summary.state is not RunState.RUNNING:
            self._life.tell_unclosed()
        self._hardware.tell()
        self._surroundings.tell_environment()
        self._loads.tell()
        self._hardware.tell_phases()
        self._logged.tell_params()
        ended = summary.state is not RunState.RUNNING
        summary.recording.complete = ended and not summary.recording.problems
        return summary


class _Logged:
    """What the user's code said, and what recording could not do."""

    def __init__(self, summary: RunSummary) -> None:
        self._summary = summary
        self._metric_times: dict[str, tuple[str, datetime]] = {}
        self._first_params: dict[str, Any] = {}

    def params(self, record: Params, _: Entry) -> None:
        params = self._summary.params
        for name, value in record.values.items():
            before = params.setdefault(name, value)
            if before != value:
                self._first_params.setdefault(name, before)
                params[name] = value

    def tell_params(self) -> None:
        """Note which parameters were set to one value and then to another."""
        notes = self._summary.recording.notes
        for name, first in islice(self._first_params.items(), _MOST_PARAMS_TOLD):
            last = _shown(self._summary.params[name])
            notes.append(
                f"parameter {name} was {_shown(first)} first; the last value counts: {last}"
            )
        if (more := len(self._first_params) - _MOST_PARAMS_TOLD) > 0:
            notes.append(f"{more} more parameters were set to another value first")

    def metrics(self, record: Metrics, entry: Entry) -> None:
        times, at, writer = self._metric_times, entry.at, entry.writer
        for name, value in record.values.items():
            last = times.get(name)
            # In one journal the order counts: clocks jump.
            if last is None or last[0] == writer or at >= last[1]:
                times[name] = writer, at
                self._summary.metrics[name] = value

    def artifact_logged(self, record: ArtifactLogged, _: Entry) -> None:
        if record.ref not in self._summary.outputs:
            self._summary.outputs.append(record.ref)
        if record.again and record.parents:
            parents = self._summary.logged_again.setdefault(record.ref, [])
            parents += [parent for parent in record.parents if parent not in parents]

    def artifact_used(self, record: ArtifactUsed, _: Entry) -> None:
        if record.ref not in self._summary.inputs:
            self._summary.inputs.append(record.ref)

    def call_started(self, record: CallStarted, _: Entry) -> None:
        if self._summary.function is None and record.parent_call_id is None:
            self._summary.function = record.function

    def problem(self, record: Problem, _: Entry) -> None:
        told = f"could not {record.doing}: {record.error}: {record.message}"
        self._summary.recording.problems.append(told)


def _shown(value: Any) -> str:
    """A parameter in a line."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _MOST_OF_VALUE else f"{text[:_MOST_OF_VALUE]}…"


class _Surroundings:
    """The code, the environment and the seeds that the run had."""

    def __init__(self, summary: RunSummary) -> None:
        self._summary = summary
        self._code: CodeCaptured | None = None
        self._command_environment: str | None = None
        self._foreign: str | None = None
        self._python_told = False
        self._given: dict[str, tuple[datetime, dict[str, Any]]] = {}
        self._seeded_by: str | None = None

    def code_captured(self, record: CodeCaptured, _: Entry) -> None:
        self._summary.git = record.git
        self._code = record

    def environment_captured(self, record: EnvironmentCaptured, _: Entry) -> None:
        if record.snapshot is not None:
            self._summary.environment = record.snapshot
        recording = self._summary.recording
        for health in record.health:
            if health.status in {"failed", "timed_out"}:
                self._failed(health)
            elif health.part == "command":
                self._command(record, health)
            elif health.part.startswith("interception"):
                note = f"{health.part} {health.status}: {health.reason}"
                recording.notes += [note] if note not in recording.notes else []

    def _failed(self, health: Health) -> None:
        how = health.status.replace("_", " ")
        problem = f"capture of {health.part} {how}: {health.reason}"
        problems = self._summary.recording.problems
        problems += [problem] if problem not in problems else []

    def _command(self, record: EnvironmentCaptured, health: Health) -> None:
        """A command's environment may be another; a Python in it says that it is not, or which."""
        if health.status == "done":
            self._python_told = True
            self._command_environment = record.snapshot or self._command_environment
        else:
            self._foreign = health.reason

    def seeds_recorded(self, record: SeedsRecorded, entry: Entry) -> None:
        for library, given in record.given.items():
            before = self._given.get(library)
            if before is None or entry.at >= before[0]:  # of several processes the last counts
                self._given[library] = entry.at, msgspec.structs.asdict(given)
        if record.given:
            return
        is_more_of_it = self._seeded_by == entry.writer  # a call's own seed is told with the call
        if self._summary.seeds is None or (record.seed is not None and not is_more_of_it):
            self._seeded_by = entry.writer if record.seed is not None else None
            seeds = msgspec.structs.asdict(record)
            self._summary.seeds = {name: seeds[name] for name in seeds if name != "health"}
        elif not record.states:  # what was not loaded yet when the states were read
            flags = self._summary.seeds["flags"] | record.flags
            self._summary.seeds = {**self._summary.seeds, "flags": flags}
        for health in record.health:
            if health.status in {"failed", "timed_out"}:
                self._failed(health)

    def tell_seeds(self) -> None:
        """Set what the program itself seeded."""
        if self._given:
            given = {library: given for library, (_, given) in sorted(self._given.items())}
            self._summary.seeds = {**(self._summary.seeds or {}), "given": given}

    def tell_code(self) -> None:
        """Note what of the code could not be known."""
        if self._code is not None and self._code.git is not None and self._code.reason:
            self._summary.recording.notes.append(f"code: {self._code.reason}")

    def tell_environment(self) -> None:
        """The environment is that of the command, where a Python in it told one."""
        summary = self._summary
        summary.environment = self._command_environment or summary.environment
        if self._foreign is not None and not self._python_told:
            note = f"environment: not that of the command: {self._foreign}"
            summary.recording.notes.append(note)
