"""Phases of a run: named stretches of time, which may nest, repeat and run side by side."""

import time
from contextvars import ContextVar, Token
from typing import Final, Self

from instrument.errors import UsageError
from instrument.protocols import Recorder
from instrument.records import PhaseFinished, PhaseStarted
from instrument.telemetry.torch import peaks

_MAX_NAME: Final = 200
_open: "ContextVar[Phase | None]" = ContextVar("instrument_phase", default=None)


class Phase:
    """One pass through a phase: ``with`` or ``async with``, once.

    Args:
        recorder: The run.
        name: What to call it. In another phase of this task or thread it is told as
            ``outer/name``.

    Raises:
        UsageError: The name is empty, too long or has a ``/``.
    """

    def __init__(self, recorder: Recorder, name: str) -> None:
        if not isinstance(name, str) or not name or "/" in name or len(name) > _MAX_NAME:
            raise UsageError(
                f"{name!r:.80} cannot name a phase; use 1 to {_MAX_NAME} characters without a slash"
            )
        self.recorder = recorder
        self._name = name
        self._around: Phase | None = None
        self._token: Token[Phase | None] | None = None
        self.path = name
        """Its name, with those of the phases around it."""

    def __enter__(self) -> Self:
        if self._token is not None:
            raise UsageError(f"the phase {self._name!r} was entered before; make another one")
        self._around = _open.get()
        if self._around is not None and self._around.recorder is self.recorder:
            self.path = f"{self._around.path}/{self._name}"
        self._token = _open.set(self)
        self.recorder.record(PhaseStarted(phase=self.path))
        self._peaks = self._read_peaks()
        self._cpu = time.process_time()
        self._began = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        duration = time.perf_counter() - self._began
        finished = PhaseFinished(
            phase=self.path,
            duration_seconds=duration,
            cpu_seconds=time.process_time() - self._cpu,
            error=kind.__qualname__ if kind is not None else None,
            gpu_memory_peak_bytes={
                device: peak
                for device, peak in self._read_peaks().items()
                if peak > self._peaks.get(device, 0)
            },
        )
        self.recorder.record(finished)
        self._leave()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.__exit__(kind, *rest)

    def _read_peaks(self) -> dict[str, int]:
        try:
            return peaks()
        except Exception as error:
            self.recorder.problem("read the peaks of torch's memory", error)
            return {}

    def _leave(self) -> None:
        if self._token is None:
            return
        try:
            _open.reset(self._token)
        except ValueError:  # left in another context than it was entered in
            if _open.get() is self:
                _open.set(self._around)
