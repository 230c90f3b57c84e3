"""The facts a run leaves behind: one frozen type for each kind of record.

A record is one line of a journal (docs/store-format.md, which is generated from this module).
Records are only ever added: nothing here describes a change to an earlier record.
"""

import functools
import operator
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from instrument.errors import IntegrityError
from instrument.vocabulary import GitState, Health, RunState

FORMAT_VERSION: Final = 1


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Base of all kinds of record; the field ``kind`` says which one a line holds."""


class ProcessStarted(Record, frozen=True, kw_only=True, tag="process_started"):
    """First record of every journal: which process writes here, and for which run.

    Attributes:
        run_id: The run.
        attempt: Which try of the run this is, from 1; a requeued job is the next attempt.
        rank: Rank of the process, 0 when there is one process.
        world_size: How many processes the run was started with.
        owner: True for the process that starts and finishes the run; others take part in it.
        writer_id: 128 random bits that name this journal, as hex.
        host: Name of the host.
        boot_id: Identity of the host's last start; with `pid` and `process_start` it tells whether
            the writer still lives. None where the system does not say.
        pid: Process id.
        process_start: Start of the process in clock ticks since boot, or None.
        command: The command line, with secrets removed.
        directory: The working directory.
        python: Version of Python.
        user: Login name of the user, or None.
        recorder_version: Version of this package.
        scheduler: The job as the scheduler names it (SLURM, torchrun, …), or empty.
    """

    run_id: str
    attempt: int
    rank: int
    world_size: int
    owner: bool
    writer_id: str
    host: str
    boot_id: str | None
    pid: int
    process_start: int | None
    command: tuple[str, ...]
    directory: str | None
    python: str
    user: str | None
    recorder_version: str
    scheduler: dict[str, str] = {}


class RunStarted(Record, frozen=True, kw_only=True, tag="run_started"):
    """The run begins. Written by its owner, and by the command that `instrument run` records.

    Attributes:
        name: What the user calls it, or the name of the script.
        project: The group it belongs to, or None.
        tags: Words to find it by.
        function: ``module:qualname`` of the function whose call is the run, or None.
        parent_run_id: The run inside which this one was started, or None.
        session_id: The session it belongs to, or None.
        capture_level: 1, 2 or 3 (`EnvironmentCaptureLevel`).
        named: Whether the user gave the name; one that is given beats one that is not.
    """

    name: str
    project: str | None
    tags: tuple[str, ...]
    function: str | None
    parent_run_id: str | None
    session_id: str | None
    capture_level: int
    named: bool = True


class CodeCaptured(Record, frozen=True, kw_only=True, tag="code_captured"):
    """The user's code at the start, before anything can change it.

    Attributes:
        git: State of the repository, or None.
        reason: Why `git` is None or not whole; None when it is whole.
        patch: Digest of the object that holds what differs from the commit, or None.
    """

    git: GitState | None
    reason: str | None = None
    patch: str | None = None


class EnvironmentCaptured(Record, frozen=True, kw_only=True, tag="environment_captured"):
    """The snapshot of the environment.

    Attributes:
        level: 1, 2 or 3 (`EnvironmentCaptureLevel`).
        snapshot: Digest of the object that holds the snapshot; equal environments share one.
        health: How each part of the capture went.
    """

    level: int
    snapshot: str | None
    health: tuple[Health, ...]


class SeedsRecorded(Record, frozen=True, kw_only=True, tag="seeds_recorded"):
    """Random state and determinism settings.

    Attributes:
        seed: The seed that was asked for and set, or None when none was.
        set_in: Libraries in which it was set.
        states: Digest of the random state of each loaded library.
        flags: Settings that decide whether a result repeats (cuDNN, TF32, PYTHONHASHSEED, threads).
    """

    seed: int | None
    set_in: tuple[str, ...]
    states: dict[str, str]
    flags: dict[str, Any]


class Params(Record, frozen=True, kw_only=True, tag="params"):
    """Parameters of the run.

    Attributes:
        values: Nested names become dotted: ``{"optim": {"lr": 0.1}}`` is ``optim.lr``.
        source: ``config``, ``call`` or ``log_params``.
    """

    values: dict[str, Any]
    source: str


class Metrics(Record, frozen=True, kw_only=True, tag="metrics"):
    """Measured values at one step.

    Attributes:
        values: Numbers by name; NaN and the infinities stand as strings.
        step: Step they belong to, from 0; None when the user gave none.
    """

    values: dict[str, float | str]
    step: int | None


class ArtifactLogged(Record, frozen=True, kw_only=True, tag="artifact_logged"):
    """The run made (or logged again) an artifact version.

    Attributes:
        ref: ``name:vN``.
        type: Type of the artifact.
        digest: Its digest.
        size_bytes: Its size.
        parents: References of what it was made from.
        role: ``output``, ``checkpoint`` or ``config``.
    """

    ref: str
    type: str
    digest: str
    size_bytes: int
    parents: tuple[str, ...] = ()
    role: str = "output"


class ArtifactUsed(Record, frozen=True, kw_only=True, tag="artifact_used"):
    """The run read an artifact version.

    Attributes:
        ref: ``name:vN``: what the reference meant at that moment.
        type: Type of the artifact.
        digest: Its digest.
        requested: The reference as the user wrote it.
    """

    ref: str
    type: str
    digest: str
    requested: str


class CheckpointSaved(Record, frozen=True, kw_only=True, tag="checkpoint_saved"):
    """A checkpoint became an artifact.

    Attributes:
        ref: ``name:vN``.
        step: Step or epoch it was taken at, or None.
        metrics: Metrics at that moment.
        best: True when it is the best so far by the metric that the user named.
    """

    ref: str
    step: int | None
    metrics: dict[str, float | str]
    best: bool


class CallStarted(Record, frozen=True, kw_only=True, tag="call_started"):
    """A decorated function was called.

    Attributes:
        call_id: Number of the call in this journal, from 1.
        function: ``module:qualname``.
        source_digest: Digest of the source text of the function, or None.
        arguments: Summaries of the arguments by parameter name.
        parent_call_id: The decorated call around it, or None.
    """

    call_id: int
    function: str
    source_digest: str | None
    arguments: dict[str, Any]
    parent_call_id: int | None


class CallFinished(Record, frozen=True, kw_only=True, tag="call_finished"):
    """A decorated function returned, raised, or its generator was closed.

    Attributes:
        call_id: The call.
        outcome: ``returned``, ``raised`` or ``closed``.
        duration_seconds: From call to end, by a monotonic clock.
    """

    call_id: int
    outcome: str
    duration_seconds: float


class TelemetrySampled(Record, frozen=True, kw_only=True, tag="telemetry_sampled"):
    """One sample of the hardware.

    Attributes:
        values: Readings by name, units in the names (``process.memory_bytes``).
        elapsed_seconds: Time since the sampler started.
    """

    values: dict[str, float]
    elapsed_seconds: float


class TelemetrySummarised(Record, frozen=True, kw_only=True, tag="telemetry_summarised"):
    """What the hardware did over the whole run.

    Attributes:
        values: For each reading its ``mean``, ``min``, ``max`` and ``last``.
        samples: How many samples that rests on.
        interval_seconds: Time between samples at the end.
    """

    values: dict[str, dict[str, float]]
    samples: int
    interval_seconds: float


class Problem(Record, frozen=True, kw_only=True, tag="problem"):
    """Something could not be recorded. The run itself went on.

    Attributes:
        doing: What was tried.
        error: Type of the error.
        message: Its message, secrets removed.
    """

    doing: str
    error: str
    message: str


class RecordsLost(Record, frozen=True, kw_only=True, tag="records_lost"):
    """Records that were taken and could not be written, told as soon as writing worked again.

    Attributes:
        count: How many.
        reason: Why, such as ``No space left on device``.
    """

    count: int
    reason: str


class ExceptionRaised(Record, frozen=True, kw_only=True, tag="exception"):
    """An exception ended the run, or left a decorated function.

    Attributes:
        type: ``module.qualname`` of its class.
        message: Its text, secrets removed, cut at 10 000 characters.
        traceback: The formatted traceback without local values.
    """

    type: str
    message: str
    traceback: str


class RunFinished(Record, frozen=True, kw_only=True, tag="run_finished"):
    """The owner ended the run.

    Attributes:
        state: COMPLETED, FAILED or INTERRUPTED.
        duration_seconds: From start to end of this attempt, by a monotonic clock.
        exit_code: Exit code of the recorded command, or None when there is none.
    """

    state: RunState
    duration_seconds: float
    exit_code: int | None = None


class ProcessFinished(Record, frozen=True, kw_only=True, tag="process_finished"):
    """Last record of a journal that was closed in order.

    Attributes:
        lost: How many records of this journal were lost.
        overhead: What recording cost this process: seconds that the user's thread waited
            (``blocking_seconds``), seconds of work in the background (``background_seconds``).
    """

    lost: int
    overhead: dict[str, float]


class UnknownRecord(Record, frozen=True, kw_only=True, tag="unknown"):
    """A kind of record that a newer version wrote; kept as it is and passed over.

    Attributes:
        original_kind: Its kind.
        fields: Its fields.
    """

    original_kind: str
    fields: dict[str, Any]


KINDS: Final[Mapping[str, type[Record]]] = {
    str(cls.__struct_config__.tag): cls
    for cls in (
        ProcessStarted,
        RunStarted,
        CodeCaptured,
        EnvironmentCaptured,
        SeedsRecorded,
        Params,
        Metrics,
        ArtifactLogged,
        ArtifactUsed,
        CheckpointSaved,
        CallStarted,
        CallFinished,
        TelemetrySampled,
        TelemetrySummarised,
        Problem,
        RecordsLost,
        ExceptionRaised,
        RunFinished,
        ProcessFinished,
    )
}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A record in its place: one line of one journal.

    Attributes:
        writer: Name of the journal.
        seq: Its number in the journal, from 0.
        at: When it was taken, UTC.
        record: The record.
    """

    writer: str
    seq: int
    at: datetime
    record: Record


def decode_record(data: bytes | msgspec.Raw) -> Record:
    """The record that the JSON object `data` holds.

    Raises:
        IntegrityError: `data` is no JSON object with a kind, or lacks fields of its kind.
    """
    try:
        kind = _kind_decoder.decode(data).kind
        if kind in KINDS:
            return _decoder.decode(data)
        fields = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise IntegrityError(f"a record does not parse: {error}") from error
    fields.pop("kind", None)
    return UnknownRecord(original_kind=kind, fields=fields)


class _Kind(msgspec.Struct):
    kind: str


_kind_decoder = msgspec.json.Decoder(_Kind)
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(
    functools.reduce(operator.or_, KINDS.values())
)
