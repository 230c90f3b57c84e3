"""A run as one value: what people and programs read of it."""

from datetime import datetime
from typing import Any

import msgspec

from instrument.vocabulary import GitState, RunState


class Recording(msgspec.Struct, kw_only=True):
    """How whole the record is.

    Attributes:
        complete: True when the run ended in order and nothing was lost or failed.
        problems: What was lost or failed, and why, one line each.
        notes: What was left out on purpose, or may be missing, one line each.
        overhead: Seconds that recording cost, summed over the processes (see
            `ProcessFinished.overhead`); and ``blocking_share``, what ``blocking_seconds`` are of
            ``duration_seconds``, where that is known.
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
        duration_seconds: How long it ran: all its attempts together, without the time between
            them. By a monotonic clock where an attempt ended in order; else from its first record
            to its last.
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
        logged_again: Of outputs that were versions already, made from something else: what this
            run made them from, by reference.
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
        ended_by: What ended a run from outside: a signal such as ``SIGTERM``, the name of what was
            raised, such as ``KeyboardInterrupt``, or ``unrecorded`` where no record tells the end,
            since the process was killed or the machine died. None where nothing did.
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
    logged_again: dict[str, list[str]] = msgspec.field(default_factory=dict)
    models: list[dict[str, Any]] | None = None
    data: list[dict[str, Any]] | None = None
    generations: list[dict[str, Any]] | None = None
    seeds: dict[str, Any] | None = None
    exception: dict[str, str] | None = None
    exit_code: int | None = None
    ended_by: str | None = None
    telemetry: dict[str, Any] = msgspec.field(default_factory=dict)
    recording: Recording = msgspec.field(default_factory=Recording)
    environment: str | None = None
