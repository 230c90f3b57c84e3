"""What a run's process prints, gathered by its threads and recorded about once a second."""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from instrument import threads
from instrument.protocols import Recorder
from instrument.records.console import ConsoleWritten

FLUSH_SECONDS: Final = 1.0
FULL_CHARACTERS: Final = 2_000_000
"""So much is recorded whole; of what is printed later, the newest of each stretch of time."""
KEPT_CHARACTERS: Final = 2_000
KEPT_AT_END: Final = 64_000
_GROWTH: Final = 1_000
"""Beyond `FULL_CHARACTERS` a stretch is this part of the time the run has lasted: the journal grows
with the logarithm of the time."""
MAX_WAITING: Final = 4_000_000
_MAX_TEXT: Final = 60_000
_PROGRESS_SECONDS: Final = 10.0
_DEADLINE_SECONDS: Final = 5.0


class _Lines(Protocol):
    def feed(self, text: str) -> str: ...
    def progress(self) -> str: ...
    def close(self) -> str: ...


class ConsoleLog:
    """Records what one process prints during one run.

    Args:
        recorder: Takes the records.
        is_over: Whether the run, lent to this process, has ended where it belongs.
    """

    def __init__(self, recorder: Recorder, is_over: Callable[[], bool]) -> None:
        self._recorder = recorder
        self._is_over = is_over
        self._begin: Callable[[], object] = bool
        self._full = FULL_CHARACTERS
        self._reset()

    def write(self, stream: str, text: str) -> None:
        """Take what was written to `stream`; nothing is done with it here and now."""
        if type(text) is not str:
            text = str.__str__(text)
        self._waiting.append((stream, text))
        self._waiting_characters += len(text)
        if not self._is_awake:
            self._wake()
        elif self._waiting_characters > MAX_WAITING:
            self._shed()

    def flush(self, *, kept: int = KEPT_CHARACTERS) -> None:
        """Record the lines that have ended.

        Args:
            kept: How much of it, once the journal has taken `FULL_CHARACTERS`.
        """
        with self._flushing:
            for stream, text in self._taken():
                self._record(stream, self._lines_of(stream).feed(text), kept)
            self._record_progress()

    def stop(self, limit_seconds: float = _DEADLINE_SECONDS) -> None:
        """Record what is left. Idempotent.

        Args:
            limit_seconds: How long to wait for the thread.

        Raises:
            TimeoutError: What was printed before is still being recorded.
        """
        if self._thread is not None:
            self._ending.set()
            self._awake.set()
            self._thread.join(min(limit_seconds, _DEADLINE_SECONDS))
            if self._thread.is_alive():
                raise TimeoutError("the store does not answer")
        self.flush(kept=KEPT_AT_END)
        with self._flushing:
            for stream, lines in self._lines.items():
                self._record(stream, lines.close(), KEPT_AT_END)

    def after_fork(self, begin: Callable[[], object]) -> None:
        """In a forked child: what waits is the parent's; the child's own begins with `begin`."""
        self._begin = begin
        self._reset()

    def _reset(self) -> None:
        self._waiting: deque[tuple[str, str]] = deque()
        self._waiting_characters = 0
        self._omitted = 0
        self._lines: dict[str, _Lines] = {}
        self._told_progress = 0.0
        self._started_at = time.monotonic()
        self._flushing = threading.Lock()
        self._awake = threading.Event()
        self._ending = threading.Event()
        self._is_awake = False
        self._thread: threading.Thread | None = None

    def _wake(self) -> None:
        """Let the thread know; the first time, start it."""
        self._is_awake = True
        if self._thread is None:
            self._begin()
            self._thread = threading.Thread(
                target=self._follow, name="instrument-console", daemon=True
            )
            try:
                threads.start(self._thread)
            except (RuntimeError, MemoryError):  # no thread comes: `stop` records what waits
                self._thread = None
        self._awake.set()

    def _follow(self) -> None:
        """Runs in the thread."""
        while not self._ending.is_set():
            self._awake.wait()
            self._ending.wait(self._pause_seconds())
            self._awake.clear()
            self._is_awake = False
            try:
                self.flush()
            except Exception as error:  # without memory, say: the thread goes on
                with suppress(Exception):
                    self._recorder.problem("record what was printed", error)

    def _pause_seconds(self) -> float:
        if self._full > 0:
            return FLUSH_SECONDS
        return max(FLUSH_SECONDS, (time.monotonic() - self._started_at) / _GROWTH)

    def _taken(self) -> list[tuple[str, str]]:
        """What waits, neighbours of one stream together."""
        runs: list[tuple[str, list[str]]] = []
        for _ in range(len(self._waiting)):
            stream, text = self._waiting.popleft()
            self._waiting_characters -= len(text)
            if not runs or runs[-1][0] != stream:
                runs.append((stream, []))
            runs[-1][1].append(text)
        if not self._waiting:
            self._waiting_characters = 0  # additions of several threads may have been lost
        return [(stream, "".join(texts)) for stream, texts in runs]

    def _shed(self) -> None:
        """Forget the older half of what waits: it is printed faster than it can be recorded."""
        while self._waiting_characters > MAX_WAITING // 2 and len(self._waiting) > 1:
            _, text = self._waiting.popleft()
            self._waiting_characters -= len(text)
            self._omitted += len(text)

    def _lines_of(self, stream: str) -> _Lines:
        if stream not in self._lines:
            from instrument.console.lines import Lines

            self._lines[stream] = Lines()
        return self._lines[stream]

    def _record_progress(self) -> None:
        now = time.monotonic()
        if now - self._told_progress >= _PROGRESS_SECONDS:
            self._told_progress = now
            for stream, lines in self._lines.items():
                self._record(stream, lines.progress(), KEPT_CHARACTERS)

    def _record(self, stream: str, text: str, kept: int) -> None:
        """Record `text`, or of it what the journal still takes."""
        if not text or self._is_over():
            return
        room = max(self._full, kept)
        if len(text) > room:
            cut = text.find("\n", len(text) - room - 1) + 1 or len(text) - room
            self._omitted += cut
            text = text[cut:]
        self._full -= len(text)
        for start in range(0, len(text), _MAX_TEXT):
            part, omitted, self._omitted = text[start : start + _MAX_TEXT], self._omitted, 0
            self._recorder.record(
                ConsoleWritten(stream=stream, text=part, omitted_characters=omitted)
            )
