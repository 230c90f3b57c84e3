"""The sampler, on the real machine."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from instrument.clock import SystemClock
from instrument.records import Record, TelemetrySampled, TelemetrySummarised
from instrument.telemetry import HardwareMonitor, Sampler, sampler as module
from instrument.telemetry.probes import ProbeUnavailable
from instrument.telemetry.roster import makers
from instrument.telemetry.sampler import interval_at, next_due


class Kept:
    """A recorder that keeps what it gets."""

    def __init__(self, *, strict: bool = False) -> None:
        self.records: list[Record] = []
        self.problems: list[str] = []
        self.sampled = threading.Event()
        self._strict = strict

    def record(self, record: Record) -> None:
        self.records.append(record)
        if len(self.samples) >= 3:
            self.sampled.set()

    def problem(self, doing: str, error: BaseException) -> None:
        if self._strict:
            raise error
        self.problems.append(f"{doing}: {error}")

    @property
    def samples(self) -> list[TelemetrySampled]:
        return [record for record in self.records if isinstance(record, TelemetrySampled)]

    @property
    def summaries(self) -> list[TelemetrySummarised]:
        return [record for record in self.records if isinstance(record, TelemetrySummarised)]


def sampled(kept: Kept, interval_seconds: float = 0.02) -> Sampler:
    """A sampler that has taken three samples."""
    sampler = Sampler(kept, SystemClock(), interval_seconds)
    sampler.start()
    assert kept.sampled.wait(30)
    return sampler


def test_samples_then_one_summary_that_agrees_with_them() -> None:
    kept = Kept()
    sampler = sampled(kept)
    sampler.stop()
    sampler.stop()
    assert len(kept.summaries) == 1
    assert kept.records[-1] is kept.summaries[0]
    summary = kept.summaries[0]
    assert summary.samples == len(kept.samples)
    for name in ("process.memory_bytes", "host.memory_used_bytes", "tree.processes"):
        values = [sample.values[name] for sample in kept.samples]
        statistics = summary.values[name]
        assert statistics["min"] == min(values)
        assert statistics["max"] == max(values)
        assert statistics["last"] == values[-1]
        assert statistics["mean"] == pytest.approx(sum(values) / len(values))
    assert kept.problems == []


def test_every_kind_of_hardware_is_there() -> None:
    kept = Kept()
    sampled(kept).stop()
    names = set(kept.samples[-1].values)
    assert {
        "process.memory_bytes", "process.cpu_percent", "tree.memory_bytes", "tree.cpu_percent",
        "host.memory_available_bytes", "network.received_bytes_per_second",
        "disk.read_bytes_per_second",
    } <= names  # fmt: skip
    times = [sample.elapsed_seconds for sample in kept.samples]
    assert times == sorted(times)


def test_a_short_run_has_a_summary_and_no_sample() -> None:
    kept = Kept()
    sampler = Sampler(kept, SystemClock(), 60)
    sampler.start()
    sum(range(100_000))
    sampler.stop()
    assert kept.samples == []
    values = kept.summaries[0].values
    assert values["process.memory_peak_bytes"]["max"] > 5_000_000
    assert values["process.cpu_seconds"]["last"] > 0


def test_no_thread_is_left_behind() -> None:
    kept = Kept()
    sampled(kept).stop()
    assert "instrument-telemetry" not in {thread.name for thread in threading.enumerate()}


def test_no_descriptor_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
    sampled(Kept()).stop()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - a count


def test_a_sampler_that_never_started_stops() -> None:
    kept = Kept()
    Sampler(kept, SystemClock()).stop()
    assert kept.records == []


class Broken:
    def read(self, seconds: float) -> dict[str, float]:
        raise OSError("the sensor is gone")

    def close(self) -> None:
        pass


def unavailable() -> Any:
    raise ProbeUnavailable("nothing here")


def refusing() -> Any:
    raise PermissionError("not for you")


def test_a_probe_that_fails_is_told_once_and_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    real = makers()
    made = {"broken": Broken, "absent": unavailable, "refusing": refusing, **real}
    monkeypatch.setattr(module, "makers", lambda: made)
    kept = Kept()
    sampled(kept).stop()
    assert kept.problems == [
        "start the refusing probe: not for you",
        "read the broken probe: the sensor is gone",
    ]
    assert "host.memory_used_bytes" in kept.samples[-1].values


def test_a_strict_recorder_is_heard_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "makers", lambda: {"broken": Broken})
    kept = Kept(strict=True)
    sampler = Sampler(kept, SystemClock(), 0.01)
    sampler.start()
    while "instrument-telemetry" in {thread.name for thread in threading.enumerate()}:
        time.sleep(0.01)
    with pytest.raises(OSError, match="sensor"):
        sampler.stop()
    assert len(kept.summaries) == 1


def test_a_forked_child_does_not_speak_for_its_parent() -> None:
    kept = Kept()
    sampler = sampled(kept)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()

    def child() -> None:
        sampler.stop()
        queue.put(len(kept.summaries))

    process = context.Process(target=child)
    process.start()
    assert queue.get() == 0
    process.join()
    sampler.stop()
    assert len(kept.summaries) == 1


def test_children_count_in_the_tree() -> None:
    program = "x = bytearray(60_000_000); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as child:
        while _resident_bytes(child.pid) < 60_000_000:
            time.sleep(0.01)
        kept = Kept()
        sampled(kept).stop()
        child.communicate(b"\n")
    values = kept.samples[0].values
    assert values["tree.processes"] >= 2
    assert values["tree.memory_bytes"] >= values["process.memory_bytes"] + 60_000_000


def _resident_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123 - as short as can be
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_the_interval_grows_in_long_runs_and_has_an_end() -> None:
    assert interval_at(0, 1.0) == 1.0
    assert interval_at(300, 1.0) == 1.0
    assert interval_at(600, 1.0) == 2.0
    assert interval_at(1e6, 1.0) == 10.0
    assert interval_at(600, 0.5) == 1.0


def test_ticks_do_not_drift_and_missed_ones_are_not_made_up_for() -> None:
    assert next_due(0.0, 0.0, 1.0) == 1.0
    assert next_due(1.0, 1.2, 1.0) == 2.0
    assert next_due(2.0, 2.0, 1.0) == 3.0
    assert next_due(3.0, 1000.5, 1.0) == 1001.0


def test_the_monitor_for_people() -> None:
    monitor = HardwareMonitor(interval_seconds=0.02, max_samples=2)
    assert monitor.latest() == {}
    with monitor:
        while len(monitor.samples()) < 2:
            time.sleep(0.01)
    summary = monitor.summary()
    assert summary["samples"] >= 2
    assert summary["values"]["process.memory_bytes"]["max"] > 0
    assert len(monitor.samples()) == 2
    assert monitor.latest()["process.memory_bytes"] > 0
    assert summary["problems"] == []
