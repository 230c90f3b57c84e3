"""Who took part in a run, how it presents itself, and what became of it."""

from datetime import datetime
from typing import Final

from instrument.records import (
    Entry,
    ExceptionRaised,
    ProcessFinished,
    ProcessStarted,
    RunFinished,
    RunStarted,
)
from instrument.summary.run import RunSummary
from instrument.vocabulary import RunState

UNRECORDED: Final = "unrecorded"


class Life:
    """The processes of a run, from its start to its end."""

    def __init__(self, summary: RunSummary) -> None:
        self._summary = summary
        self._processes: dict[str, ProcessStarted] = {}
        self._closed: set[str] = set()
        self._presenting: set[str] = set()
        self._presented: list[tuple[int, bool, RunStarted]] = []
        self._exceptions: dict[int, dict[str, str]] = {}
        self._finished: dict[int, tuple[datetime, RunFinished]] = {}
        self._spans: dict[str, list[datetime]] = {}

    def saw(self, entry: Entry) -> None:
        """A record was made."""
        at, span = entry.at, self._spans.get(entry.writer)
        if span is None:
            self._spans[entry.writer] = [at, at]
        elif at > span[1]:
            span[1] = at
        elif at < span[0]:
            span[0] = at

    def process_started(self, record: ProcessStarted, entry: Entry) -> None:
        """A process has opened its journal."""
        self._processes[entry.writer] = record
        self._summary.rank_count = max(self._summary.rank_count, record.world_size)
        if record.owner:
            self._summary.host = record.host
            self._summary.command = record.command

    def run_started(self, record: RunStarted, entry: Entry) -> None:
        """A process says how the run presents itself."""
        writer = entry.writer
        self._presenting.add(writer)
        self._presented.append((self._attempt(writer), self.is_owner(writer), record))

    def exception(self, record: ExceptionRaised, entry: Entry) -> None:
        """What broke off an attempt."""
        told = {"type": record.type, "message": record.message}
        self._exceptions[self._attempt(entry.writer)] = told

    def run_finished(self, record: RunFinished, entry: Entry) -> None:
        """Of one attempt the latest end counts."""
        attempt = self._attempt(entry.writer)
        before = self._finished.get(attempt)
        if before is None or entry.at > before[0]:
            self._finished[attempt] = entry.at, record

    def process_finished(self, record: ProcessFinished, entry: Entry) -> None:
        """A process has closed its journal."""
        self._closed.add(entry.writer)
        overhead = self._summary.recording.overhead
        for name, seconds in record.overhead.items():
            overhead[name] = overhead.get(name, 0.0) + seconds
        if duration := overhead.get("duration_seconds"):
            overhead["blocking_share"] = overhead.get("blocking_seconds", 0.0) / duration

    def is_owner(self, writer: str) -> bool:
        """Whether the process with this journal starts and ends the run."""
        process = self._processes.get(writer)
        return process is None or process.owner

    def is_closed(self, writer: str) -> bool:
        """Whether this journal tells its own end."""
        return writer in self._closed

    def tell(self, *, alive: bool) -> None:
        """Set who the run is, and how it ended."""
        summary = self._summary
        summary.started_at = min((span[0] for span in self._spans.values()), default=None)
        summary.attempts = max((p.attempt for p in self._processes.values()), default=0)
        summary.exception = self._exceptions.get(summary.attempts)
        self._tell_identity()
        last = max(self._finished, default=0)
        if not last or last < summary.attempts:
            self._tell_no_end(alive=alive)
        else:
            self._tell_end(*self._finished[last])
        if summary.ended_at is not None:
            summary.duration_seconds = self._duration_seconds()

    def tell_unclosed(self) -> None:
        """Journals without an end: of the owner, the run broke off; of a worker, it was ended."""
        recording = self._summary.recording
        ended = {self._processes[name].writer_id for name in self._closed & set(self._processes)}
        for name, process in sorted(self._processes.items()):
            if process.writer_id in ended:  # in this file, or in the one that it went on in
                continue
            who = f"process {process.pid} on {process.host}"
            if process.owner:
                recording.problems.append(f"{who} ended without closing the run (journal {name})")
                recording.notes += self._gone_on(process)
            else:
                recording.notes.append(f"{who} was ended before it closed its journal {name}")

    def _gone_on(self, owner: ProcessStarted) -> list[str]:
        """The command of an attempt that `instrument run` began and did not live to end.

        It is the process that says how the run presents itself, or else the first with the command
        line that `owner` was to record: those that it forks have the same.
        """
        others = [
            (process.process_start or 0, name, process)
            for name, process in self._processes.items()
            if not process.owner and process.attempt == owner.attempt
        ]
        same = (each for each in others if each[2].command == owner.command)
        presenting = [each for each in sorted(others) if each[1] in self._presenting]
        return [
            f"process {process.pid} on {process.host}, the command, went on and ended in order"
            for _, name, process in presenting or sorted(same)[:1]
            if name in self._closed
        ]

    def _attempt(self, writer: str) -> int:
        """The attempt that this journal belongs to."""
        process = self._processes.get(writer)
        return process.attempt if process else 1

    def _tell_identity(self) -> None:
        """Who the run is: its owner's last word, completed by the command that it records."""
        if not self._presented:
            return
        ranked = sorted(self._presented, key=lambda word: (word[1], word[0]), reverse=True)
        words = [record for *_, record in ranked]  # the owner's first, the latest attempt's first
        first, summary = words[0], self._summary
        summary.name = next((word.name for word in words if word.named), first.name)
        summary.project = next((word.project for word in words if word.project), None)
        summary.session_id = next((word.session_id for word in words if word.session_id), None)
        summary.tags = tuple(dict.fromkeys(tag for word in words for tag in word.tags))
        summary.function = first.function or summary.function
        summary.parent_run_id = first.parent_run_id

    def _tell_no_end(self, *, alive: bool) -> None:
        summary = self._summary
        summary.state = RunState.RUNNING if alive else RunState.INTERRUPTED
        last = max((span[1] for span in self._spans.values()), default=None)
        summary.ended_at = None if alive else last
        summary.ended_by = None if alive else UNRECORDED

    def _duration_seconds(self) -> float:
        """How long the run ran, without the time between its attempts."""
        total = 0.0
        spans: dict[int, list[datetime]] = {}
        for writer, span in self._spans.items():
            spans.setdefault(self._attempt(writer), []).extend(span)
        for attempt, times in spans.items():
            if attempt in self._finished:
                total += self._finished[attempt][1].duration_seconds
            else:
                total += (max(times) - min(times)).total_seconds()
        return total

    def _tell_end(self, at: datetime, finished: RunFinished) -> None:
        summary = self._summary
        summary.state = finished.state
        if finished.state is RunState.COMPLETED:
            summary.exception = None  # one that left a decorated call and was handled
        summary.ended_at = at
        summary.exit_code = finished.exit_code
        summary.ended_by = finished.signal
        if finished.signal is None and finished.state is RunState.INTERRUPTED and summary.exception:
            summary.ended_by = summary.exception["type"].rpartition(".")[2]
