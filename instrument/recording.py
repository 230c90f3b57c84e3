"""One run being recorded by this process: what is started, in which order, and how it ends.

`Recording` is the machine room behind `instrument.context.ExperimentContext`. Its order of work:

start   git is asked first (it answers while the rest goes on); the journal is opened; identity,
        parameters, seeds and code are written; the snapshot of the environment, the patch and the
        telemetry follow in the background (`instrument.background`).
finish  the background is joined, the end is written, the journal closed, the run sealed.
"""

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from instrument import intercept, registry
from instrument.background import END_SECONDS, Background, left_until
from instrument.capture.process import process_started
from instrument.clock import SystemClock
from instrument.console import ConsoleLog
from instrument.errors import AuditError, InstrumentError, StoreError
from instrument.exits import at_process_end
from instrument.guard import Guard, one_line, say
from instrument.handover import Handover, Offer, own_board
from instrument.identity import Identity, misunderstood
from instrument.overhead import Overhead
from instrument.protocols import Clock, Records, Store
from instrument.records import Problem, ProcessFinished, Record, RunFinished
from instrument.redaction.kept import redact_record
from instrument.settings import Settings
from instrument.stand_ins import Ended, Lent, Nowhere, OpenedOnUse

if TYPE_CHECKING:
    from instrument.mirroring import Follower
    from instrument.required_audit import RequiredAudit

MIRROR_DEADLINE_SECONDS: Final = 30.0
_now: Final = datetime.now


class Recording:
    """Records one run; implements `instrument.protocols.Recorder`.

    Args:
        identity: The run and this process's part in it.
        settings: Settings in force.
        store: The store, or None when it could not be opened.
        monitor_hardware: Whether telemetry is sampled.
    """

    def __init__(
        self, identity: Identity, settings: Settings, store: Store | None, *, monitor_hardware: bool
    ) -> None:
        self.identity = identity
        self.store = store
        self.clock: Clock = SystemClock()
        self.guard = Guard(self._take_now, strict=settings.strict)
        self._account()
        self.data_limit_bytes = int(settings.hash_limit_gib * 2**30)
        self._settings = settings
        self._background = Background(self, settings, monitor_hardware=monitor_hardware)
        self.console = ConsoleLog(self, self.is_over) if settings.console else None
        self._write_to(Nowhere())
        self._owner = identity.owner
        self._lender = identity.lender
        self._audit = _audit_of(identity, settings, store)
        self._followers: list[Follower] = []
        self._offer: Offer | None = None
        self._started_at = 0.0
        self._finishing = threading.Lock()
        self._unanswered: str | None = None
        self._failure: Exception | None = None

    # --- start -------------------------------------------------------------------------------

    def start(self, first: Callable[[], None]) -> None:
        """Begin to record.

        Args:
            first: Takes what the context knows at once (parameters, seeds).

        Raises:
            StoreError: The run is strict, or its audit required, and it cannot be recorded or not
                be audited; it has not begun.
        """
        self._started_at = time.perf_counter()
        if self._owner:
            self._background.ask_git()
        try:
            if self._audit is not None:
                self._audit.begins()
            self._open_journal()
        except BaseException:
            self._background.forget()
            raise
        if self.identity.started is not None:
            self.record(self.identity.started)
            with self.guard.protect("tell what is odd around this process"):
                self._tell_surroundings()
        with self.guard.protect("record the parameters"):
            first()
        if self._owner:
            self._background.capture(self._records)
            self._start_mirrors()
        elif self.identity.started is not None:
            self._background.watch()
        with self.guard.protect("hand the run to child processes"):
            self._offer_to_children()
        _active.add(self)

    def _open_journal(self) -> None:
        """Open this process's journal; what fails here is told and the run goes on.

        Raises:
            StoreError: It cannot be written, and the run is strict or its audit required.
            Exception: The run is strict, and which one it is could not be found out.
        """
        identity = self.identity
        if identity.failure is not None and self._settings.strict:
            raise identity.failure
        with self.guard.protect("open the journal"):
            process = process_started(
                run_id=identity.run_id,
                attempt=identity.attempt,
                owner=self._owner,
                command=identity.command,
            )
            if self.store is not None:
                self._write_to(self._lent(self.store.begin(redact_record(process))))
        if self._records.lost and (self._settings.strict or self._audit is not None):
            self._records.close()
            why = f"the store {self._where()} cannot be written: {self._records.reason}"
            kind = "a strict run" if self._settings.strict else "a run with audit=required"
            raise StoreError(f"{why}; {kind} does not start without its record")
        if self._records.lost:
            say(f"the store {self._where()} cannot be written: this run is not recorded")

    def _tell_surroundings(self) -> None:
        """What around this process did not tell which run it is."""
        if self.identity.failure is not None:
            self.problem("find out which run this is", self.identity.failure)
        if odd := misunderstood():  # nothing of ours: no reason to raise in a strict run
            message = f"taken for not set, since it cannot be so: {odd}"
            self.record(Problem(doing="read the environment", error="ValueError", message=message))
            say(message)

    def _start_mirrors(self) -> None:
        names = [name for name in self._settings.backends if name != "local"]
        if not names or self.store is None:
            return
        from instrument.mirroring import start_follower

        for name in names:
            with self.guard.protect(f"start the {name} mirror"):
                offline = self._settings.mode == "offline"
                location = Path(self.store.location)
                run_id = self.identity.run_id
                self._followers.append(start_follower(name, location, run_id, offline=offline))

    def _offer_to_children(self) -> None:
        if self.store is None or not Path(self.store.location).is_absolute():
            return  # a store in memory cannot be shared
        identity = self.identity
        if identity.part is None:
            return
        handover = Handover(
            identity.run_id,
            identity.attempt,
            os.getpid(),
            identity.part,
            own_board(),
            parent_run_id=identity.started.parent_run_id if identity.started else None,
        )
        self._offer = Offer(handover, self.store.location)
        self._offer.make()

    def _write_to(self, records: Records) -> None:
        """From now on records go there; `take` is its own, bound once for the hot path."""
        self._records = records
        self.take = records.take

    def _account(self) -> None:
        """From now on count what recording costs; who is asked at each call is bound here once."""
        self.overhead = Overhead()
        self.metrics_weights = self.overhead.metrics_weights
        self.calls_weights = self.overhead.calls_weights
        self.models_weights = self.overhead.models_weights

    # --- while it runs -------------------------------------------------------------------------

    def record(self, record: Record) -> None:
        """See `instrument.protocols.Recorder`."""
        with self.overhead.span("records"):
            try:
                self.take(redact_record(record), _now(UTC))
            except Exception as error:
                self.problem(f"record {type(record).__name__}", error)

    def problem(self, doing: str, error: BaseException) -> None:
        """See `instrument.protocols.Recorder`."""
        self.guard.problem(doing, error)

    def _take_now(self, record: Record) -> None:
        self.take(redact_record(record), _now(UTC))

    # --- the end -------------------------------------------------------------------------------

    def finish(self, end: RunFinished | None, last: Callable[[], None]) -> None:
        """Stop recording. Idempotent; only the first call counts.

        Args:
            end: How the run ended; ignored when this process only takes part in it.
            last: Takes what the context has to add at the end.

        Raises:
            Exception: The first failure of a strict run, once the journal is closed and sealed.
            AuditError: The audit is required, and the end is not in the ledger.
        """
        if not self._finishing.acquire(blocking=False):
            return  # for good: a signal may come while the end is being written
        with self.overhead.span("end"):
            self._end(end, last)
        self._close()
        self._finish_mirrors()
        if failure := self._background.error or self._failure:
            raise failure

    def _end(self, end: RunFinished | None, last: Callable[[], None]) -> None:
        deadline = time.monotonic() + END_SECONDS
        _active.discard(self)
        with self._at_the_end("withdraw the run from child processes"):
            if self._offer is not None:
                self._offer.withdraw()
        with self._at_the_end("identify what was loaded"):
            intercept.complete(self, END_SECONDS)
        with self._at_the_end("stop what is captured in the background"):
            self._background.stop(self._records, deadline)
        with self._at_the_end("record what was printed"):
            if self.console is not None:
                self.console.stop(left_until(deadline))
        for follower in self._followers:
            with self._at_the_end(f"feed the {follower.name} mirror"):
                if follower.failure is not None:
                    raise RuntimeError(f"{follower.failure} (see {follower.log})")
        with self._at_the_end("record the end"):
            last()
        with self._at_the_end("record what became of the run"):
            if self._owner and end is not None:
                self.record(end)

    @contextmanager
    def _at_the_end(self, doing: str) -> Iterator[None]:
        """A part of the end. What a strict run raises there waits until all else is done."""
        try:
            with self.guard.protect(doing):
                yield
        except Exception as error:
            self._failure = self._failure or error

    @property
    def is_owner(self) -> bool:
        """Whether the run is this process's own; else it only takes part."""
        return self._owner

    @property
    def has_ended(self) -> bool:
        """Whether what is recorded from now on is lost."""
        return isinstance(self._records, Ended) or self.is_over()

    def duration_seconds(self) -> float:
        """Since the start, by a monotonic clock, to the microsecond."""
        return round(time.perf_counter() - self._started_at, 6)

    def _close(self) -> None:
        records = self._records
        overhead = self.overhead.told(self.duration_seconds())
        with self._at_the_end("record the end of the process"):
            self.record(ProcessFinished(lost=records.lost, overhead=overhead))
        with self._at_the_end("close the journal"):
            records.close()
        self._write_to(Ended(self.identity.run_id))
        self._unanswered = records.spool
        if self._unanswered:
            if self._audit is not None:
                self._failure = self._failure or self._audit.open_end("the store does not answer")
            say(
                f"the store {self._where()} does not answer: what run {self.identity.run_id} "
                f"recorded since then waits in {self._unanswered}; when it answers again, "
                f"`instrument repair --from {self._unanswered}` adds it"
            )
            return
        self._seal(quiet=records.lost > 0)
        if records.lost:
            say(
                f"{records.lost} records of run {self.identity.run_id} were lost in the store "
                f"{self._where()}: {records.reason}; `instrument doctor` looks for the cause"
            )

    def _seal(self, *, quiet: bool) -> None:
        """Seal the run: its owner does, and of the ranks of a launch the last one."""
        run_id, is_rank = self.identity.run_id, self.identity.is_rank
        store = self.store
        if store is None or not (self._owner or is_rank):
            return
        try:
            if is_rank and store.is_open(run_id):
                return
            if self._audit is not None:
                self._audit.ends(lambda: store.seal(run_id).state)
            else:
                store.seal(run_id)
        except AuditError as error:
            self._failure = self._failure or error
        except Exception as error:
            if not quiet:
                say(f"the run is recorded but not sealed: {one_line(error)}")

    def _finish_mirrors(self) -> None:
        for follower in self._followers:
            if follower.wait(0 if self._unanswered else MIRROR_DEADLINE_SECONDS):
                continue
            why = "goes on by itself" if follower.running else f"has failed: {follower.failure}"
            say(
                f"the {follower.name} mirror is not complete and {why}; "
                f"`instrument sync --to {follower.name} {self.identity.run_id}` completes it"
            )

    def _where(self) -> str:
        return self.store.location if self.store is not None else str(self._settings.store)

    # --- fork ----------------------------------------------------------------------------------

    def after_fork(self) -> None:
        """In a forked child: take part in the run with a journal of its own, made when needed."""
        self._owner = False
        self._audit = None
        if self._offer is not None:
            self._lender = self._offer.handover
        self._background = Background(self, self._settings, monitor_hardware=False)
        self._offer = None
        self._followers = []
        self._account()
        self._started_at = time.perf_counter()
        self._finishing = threading.Lock()
        self._failure = None
        unopened = OpenedOnUse(self.open_own_journal)
        self._write_to(self._lent(unopened))
        if self.console is not None:
            self.console.after_fork(unopened.open)

    def is_over(self) -> bool:
        """Whether the run was lent to this process, and has ended where it belongs."""
        return self._lender is not None and not self._lender.stands()

    def _lent(self, records: Records) -> Records:
        if self._lender is None:
            return records
        return Lent(records, self._lender.stands, self._end_part)

    def _end_part(self) -> Records:
        self.finish(None, lambda: None)
        return self._records

    def open_own_journal(self) -> Records:
        """Open a journal for this process in place of the parent's."""
        self._open_journal()
        at_process_end(lambda: self.finish(None, lambda: None))
        return self._records


def open_store(settings: Settings) -> Store | None:
    """The local store, or None, said loudly, when it cannot be used.

    Raises:
        InstrumentError: In strict mode, or with audit=required.
    """
    try:
        return registry.open_store("local", settings.store, SystemClock())
    except (InstrumentError, OSError) as error:
        if settings.strict or settings.audit == "required":
            raise
        say(f"{error}; this run is not recorded")
        return None


def _audit_of(
    identity: Identity, settings: Settings, store: Store | None
) -> "RequiredAudit | None":
    """What is required of the ledger by this process: by the owner of a run, and by each rank."""
    if settings.audit != "required" or not (identity.owner or identity.is_rank):
        return None
    from instrument.required_audit import RequiredAudit

    return RequiredAudit(store, identity.run_id, identity.attempt)


_active: weakref.WeakSet[Recording] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for recording in list(_active):
        recording.after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
