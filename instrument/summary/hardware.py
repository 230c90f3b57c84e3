"""What the hardware did while a run lasted, as a whole and by phases."""

from collections import defaultdict
from typing import Any

from instrument.readings import Phases, Readings, Trace
from instrument.records import (
    Entry,
    PhaseFinished,
    PhaseStarted,
    RecordsLost,
    TelemetrySampled,
    TelemetrySummarised,
)
from instrument.summary.life import Life
from instrument.summary.run import RunSummary


class Hardware:
    """The samples of all processes; the owner's word is told, else the first process's."""

    def __init__(self, summary: RunSummary, life: Life) -> None:
        self._summary = summary
        self._life = life
        self._samples = 0
        self._told_by_owner = False
        self._readings = Readings()
        self._traces: defaultdict[str, Trace] = defaultdict(Trace)
        self._phases: defaultdict[str, Phases] = defaultdict(Phases)

    def telemetry_sampled(self, record: TelemetrySampled, entry: Entry) -> None:
        """A sample; the whole run's are the owner's, a phase's those of its process."""
        values, seconds = self._traces[entry.writer].take(
            record.values, record.elapsed_seconds, whole=record.whole
        )
        if self._life.is_owner(entry.writer):
            self._samples += 1
            self._readings.add(values, seconds)
        if entry.writer in self._phases:
            self._phases[entry.writer].add(values, seconds)

    def telemetry_summarised(self, record: TelemetrySummarised, entry: Entry) -> None:
        """A process has summarised its samples itself."""
        self._summary.recording.notes += record.notes
        is_owner = self._life.is_owner(entry.writer)
        if self._summary.telemetry and not is_owner:
            return
        self._told_by_owner |= is_owner
        self._summary.telemetry = {
            "samples": record.samples,
            "interval_seconds": record.interval_seconds,
            "readings": record.values,
            "columns": record.columns,
            "energy": record.energy,
        }

    def phase_started(self, record: PhaseStarted, entry: Entry) -> None:
        """A pass of a phase has begun."""
        self._phases[entry.writer].started(record.phase)

    def phase_finished(self, record: PhaseFinished, entry: Entry) -> None:
        """A pass of a phase is over."""
        self._phases[entry.writer].finished(
            record.phase,
            record.duration_seconds,
            record.cpu_seconds,
            record.gpu_memory_peak_bytes,
        )

    def records_lost(self, record: RecordsLost, entry: Entry) -> None:
        """With them is lost what changed between two samples."""
        self._traces[entry.writer].forget()
        lost = f"{record.count} records lost: {record.reason}"
        self._summary.recording.problems.append(lost)

    def tell(self) -> None:
        """The samples of a run that could not summarise them itself."""
        if self._samples and not self._told_by_owner:
            self._summary.telemetry = {
                "samples": self._samples,
                "interval_seconds": None,
                "readings": self._readings.summary(),
            }

    def tell_phases(self) -> None:
        """Each phase as one process told it, the owner's word first."""
        told: dict[str, dict[str, Any]] = {}
        for writer in sorted(self._phases, key=lambda name: not self._life.is_owner(name)):
            for path, phase in self._phases[writer].summary().items():
                told.setdefault(path, {**phase, "processes": 0})["processes"] += 1
            if left_out := self._phases[writer].left_out:
                self._summary.recording.notes.append(f"{left_out} phases more than are told")
        if told:
            self._summary.telemetry["phases"] = told
