"""What is captured beside the user's code: the state of the code, the environment, the hardware.

git is asked first, and answers while the run is opened; the rest is left to threads, which the end
of the run waits for.
"""

import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from instrument import crew
from instrument.capture.code import CodeReading, begin_code, code_directory
from instrument.guard import Guard, one_line
from instrument.identity import Identity
from instrument.overhead import Overhead, cpu_used
from instrument.protocols import Clock, Recorder, Records, Store
from instrument.records import CodeCaptured, EnvironmentCaptured
from instrument.redaction.kept import redact_texts
from instrument.settings import Settings
from instrument.vocabulary import EnvironmentCaptureLevel

if TYPE_CHECKING:
    from instrument.telemetry import Sampler

END_SECONDS: Final = 10.0
"""So long the end of a run waits for all that is under way. What is captured is limited to less."""
TELEMETRY_DELAY_SECONDS: Final = 0.25
"""Of a run: the user's first lines, mostly imports, have the interpreter to themselves."""
CAPTURE_DELAY_SECONDS: Final = 0.01
"""In a run that is over by then nothing takes turns with the user's code: its end does it all."""
_GLANCE_SECONDS: Final = 0.2


class Recording(Recorder, Protocol):
    """The recording, as `Background` needs it."""

    identity: Identity
    store: Store | None
    clock: Clock
    guard: Guard
    overhead: Overhead


class Background:
    """Captures for one recording.

    Args:
        recording: Takes what is captured.
        settings: Settings in force.
        monitor_hardware: Whether telemetry is sampled.

    Attributes:
        error: What a strict run failed with, to be raised where the user waits for it.
    """

    def __init__(self, recording: Recording, settings: Settings, *, monitor_hardware: bool) -> None:
        self.error: BaseException | None = None
        self._recording = recording
        self._settings = settings
        self._monitor_hardware = monitor_hardware
        self._reading: CodeReading | None = None
        self._code: CodeCaptured | None = None
        self._unasked: Exception | None = None
        self._task: crew.Task | None = None
        self._sampler: Sampler | None = None
        self._ending = threading.Event()
        self._began = cpu_used()
        self._began_at = time.monotonic()

    def ask_git(self) -> None:
        """Begin to read the state of the code. What fails is told when there is a journal."""
        try:
            self._reading = begin_code(
                code_directory(),
                commit=self._settings.git_commit,
                level=self._settings.capture_level,
                command=self._recording.identity.command,
            )
        except Exception as error:
            self._unasked = error

    def forget(self) -> None:
        """The run does not begin: leave no git behind."""
        if self._reading is not None:
            with self._recording.guard.protect("stop asking git"):
                self._reading.finish()

    def capture(self, records: Records) -> None:
        """Take the code's state now; leave the patch, the snapshot and telemetry to a thread.

        Args:
            records: The journal, which holds the beginning of the run.
        """
        self._take_code()
        self._run(lambda: self._capture(records), "capture the environment")

    def _take_code(self) -> None:
        (reading, self._reading), failure = (self._reading, None), self._unasked
        try:
            if reading is not None:
                self._record_code(reading.finish())
                self._reading = reading  # there may be more to it
        except Exception as error:
            failure = error
        if failure is not None:
            reason = f"the state of the code could not be read: {one_line(failure)}"
            self._recording.record(CodeCaptured(git=None, reason=reason))
            self._recording.problem("read the state of the code", failure)

    def watch(self) -> None:
        """Sample the hardware, and no more: in a process that takes part in another's run."""
        if self._monitor_hardware:
            self._run(self._watch, "start telemetry")

    def stop(self, records: Records, deadline: float) -> None:
        """Wait for what is under way, and stop to sample; nothing begins any more.

        Args:
            records: The journal; where its store hangs nothing is waited for.
            deadline: Until when to wait, by the monotonic clock.
        """
        self._ending.set()
        guard = self._recording.guard
        if self._task is not None and not self._wait_for(self._task, records, deadline):
            reason = (
                "the store does not answer"
                if records.spool
                else f"not done {END_SECONDS:g} seconds after the end of the run"
            )
            guard.problem("finish the capture of the environment", TimeoutError(reason))
        with guard.protect("keep the cells of the notebook"):
            self._keep_cells()
        if self._sampler is not None:
            with guard.protect("stop telemetry"):
                self._sampler.stop(left_until(deadline))

    def _run(self, work: Callable[[], None], doing: str) -> None:
        self._task = self._start(work, doing, "instrument-capture")

    def _start(self, work: Callable[[], None], doing: str, name: str) -> crew.Task | None:
        """A thread of ours at work; None where the system gives no more of them."""

        def run() -> None:
            try:
                with self._recording.overhead.span("capture"):
                    work()
            except BaseException as error:  # whatever it is, it is not the user's
                self._failed(doing, error)

        try:
            return crew.begin(run, name)
        except (RuntimeError, MemoryError) as error:
            self._recording.guard.problem(doing, error)
            return None

    def _failed(self, doing: str, error: BaseException) -> None:
        try:
            self._recording.guard.problem(doing, error)
        except BaseException as raised:  # in a strict run
            self.error = raised

    def _wait_for(self, task: crew.Task, records: Records, deadline: float) -> bool:
        """Until it is done, the deadline is over, or the store turns out to hang."""
        task.join(_GLANCE_SECONDS)
        if task.is_alive():
            records.flush()
        while task.is_alive() and not records.spool and time.monotonic() < deadline:
            task.join(_GLANCE_SECONDS)
        return not task.is_alive()

    def _capture(self, records: Records) -> None:
        if not self._ending.wait(CAPTURE_DELAY_SECONDS):
            records.flush()  # the beginning is on the disk, and space for the end is kept
        guard = self._recording.guard
        reading = self._reading
        code: crew.Task | None = None
        with guard.protect("keep the code"):
            if reading is not None and not reading.is_whole():
                # In a thread of its own: when it hangs it holds up nothing else.
                code = self._start(self._keep_code, "keep the code", "instrument-code")
        with guard.protect("capture the environment"):
            self._keep_snapshot(self._settings.capture_level)
        if self._monitor_hardware:
            self._watch()
        if code is not None:
            code.join()

    def _keep_code(self) -> None:
        """Record what takes git longer, and store what differs from the commit."""
        with self._recording.guard.protect("keep the code"):
            kept = self._reading.complete() if self._reading is not None else None
            if kept is not None:
                store = self._recording.store
                put = store.put_bytes if store is not None else None
                digests = {name: put(data) for name, data in kept.objects.items()} if put else {}
                self._record_code(msgspec.structs.replace(kept.code, **digests))

    def _record_code(self, code: CodeCaptured) -> None:
        is_basic = self._settings.capture_level < EnvironmentCaptureLevel.STANDARD
        if "IPython" in sys.modules and not is_basic:
            with self._recording.guard.protect("look for the cells of a notebook"):
                from instrument.capture.cells import has_cells

                code = msgspec.structs.replace(code, cells="" if has_cells() else None)
        self._code = code
        self._recording.record(code)

    def _keep_cells(self) -> None:
        """Record what a notebook has executed until now."""
        code, store = self._code, self._recording.store
        if code is None or code.cells is None or store is None:
            return
        from instrument.capture.cells import executed_cells

        content, why = executed_cells()
        digest = store.put_bytes(content) if content else ""
        reason = "; ".join(filter(None, (code.reason, why))) or None
        self._recording.record(msgspec.structs.replace(code, cells=digest, reason=reason))

    def _keep_snapshot(self, level: int) -> None:
        from instrument.canonical import canonical_bytes
        from instrument.capture.snapshot import capture_place, capture_snapshot

        store = self._recording.store
        snapshot, health = capture_snapshot(level, store.put_bytes if store else None)
        place, health_of_place = capture_place(level)
        files = (snapshot.get("lock_files") or {}) if store else {}
        digest = None
        if store is not None:
            with self._recording.guard.protect("store the snapshot of the environment"):
                digest = store.put_bytes(canonical_bytes(redact_texts(snapshot)))
        self._recording.record(
            EnvironmentCaptured(
                level=level,
                snapshot=digest,
                health=health + health_of_place,
                place=place,
                files=files,
            )
        )

    def _watch(self) -> None:
        """Begin to sample: the whole node, or of its other ranks and of a command the process."""
        over_seconds = time.monotonic() - self._began_at
        is_over = self._ending.wait(max(0.0, TELEMETRY_DELAY_SECONDS - over_seconds))
        recording, identity = self._recording, self._recording.identity
        with recording.guard.protect("start telemetry"):
            from instrument.telemetry import Sampler, is_first_on_node

            sampler = Sampler(
                recording,
                recording.clock,
                whole_node=is_first_on_node() if identity.is_rank else identity.owner,
                budget_percent=self._settings.overhead_budget,
                overhead=recording.overhead,
                grid_gco2e_per_kwh=self._settings.grid_gco2e_per_kwh,
                put=recording.store.put_bytes if recording.store is not None else None,
                began=self._began,
            )
            if is_over:
                sampler.tell()
            else:
                self._sampler = sampler
                sampler.start()


def left_until(deadline: float) -> float:
    """Seconds until `deadline`; what is well gets a moment to answer even when it is over."""
    return max(deadline - time.monotonic(), _GLANCE_SECONDS)
