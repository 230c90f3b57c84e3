"""The run and its processes: what begins, ends and goes wrong."""

from instrument.records.base import Record
from instrument.vocabulary import RunState


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
    scheduler: dict[str, str] = {}  # noqa: RUF012 - msgspec copies it


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
        signal: Name of the signal that ended it, such as ``SIGTERM``, or None.
    """

    state: RunState
    duration_seconds: float
    exit_code: int | None = None
    signal: str | None = None


class ProcessFinished(Record, frozen=True, kw_only=True, tag="process_finished"):
    """Last record of a journal that was closed in order.

    Attributes:
        lost: How many records of this journal were lost.
        overhead: What recording cost this process until this record: seconds that threads of the
            user's waited (``blocking_seconds``), CPU time of theirs meanwhile and of our own
            threads (``cpu_seconds``), how long the process recorded (``duration_seconds``), and of
            each part its ``<part>_blocking_seconds`` and ``<part>_cpu_seconds``. Parts are
            ``capture``, ``records``, ``artifacts``, ``calls`` (of decorated functions),
            ``interception``, ``telemetry`` and ``end``. Those of metrics and of decorated functions
            are estimates, made from some of the calls.
    """

    lost: int
    overhead: dict[str, float]
