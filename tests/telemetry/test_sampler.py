"""The sampler, on the real machine."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from instrument import ExperimentContext
from instrument.clock import SystemClock
from instrument.overhead import Overhead
from instrument.readings import Trace
from instrument.records import Record, TelemetrySampled, TelemetrySummarised
from instrument.registry import open_store
from instrument.telemetry import HardwareMonitor, Sampler, is_first_on_node, roster as module
from instrument.telemetry.probes import ProbeUnavailable
from instrument.telemetry.schedule import Budget, interval_at, next_due


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


def sampled(kept: Kept, interval_seconds: float = 0.02, **options: Any) -> Sampler:
    """A sampler that has taken three samples."""
    sampler = Sampler(kept, SystemClock(), interval_seconds, **options)
    sampler.start()
    assert kept.sampled.wait(30)
    return sampler


def whole_samples(kept: Kept) -> list[tuple[dict[str, float], float]]:
    trace = Trace()
    return [trace.take(s.values, s.elapsed_seconds, whole=s.whole) for s in kept.samples]


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
        rows = whole_samples(kept)
        values = [sample[name] for sample, _ in rows]
        statistics = summary.values[name]
        assert statistics["min"] == min(values)
        assert statistics["max"] == max(values)
        assert statistics["last"] == values[-1]
        assert statistics["p95"] in values
        seconds = sum(seconds for _, seconds in rows)
        mean = sum(sample[name] * seconds for sample, seconds in rows) / seconds
        assert statistics["mean"] == pytest.approx(mean, rel=0.01)  # times are rounded to 1 ms
    assert kept.problems == []


def test_every_kind_of_hardware_is_there() -> None:
    kept = Kept()
    sampled(kept).stop()
    names = set(whole_samples(kept)[-1][0])
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


def test_all_that_a_run_computed_is_counted_from_its_beginning(store_path: Path) -> None:
    with ExperimentContext(capture_level=1, store=store_path) as run:
        began = time.process_time()
        while time.process_time() - began < 0.3:
            pass
    recorded = [
        entry.record for entry in open_store("local", store_path, SystemClock()).entries(run.id)
    ]
    (summary,) = [each for each in recorded if isinstance(each, TelemetrySummarised)]
    assert 0.3 <= summary.values["process.cpu_seconds"]["last"] < 3


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


class Rising:
    """A reading that rises, one that stands still, and one that is known at first only."""

    def __init__(self) -> None:
        self.count = 0

    def read(self, seconds: float) -> dict[str, float]:
        self.count += 1
        values: dict[str, float] = {"rising": self.count, "still": 7}
        return values | ({"gone": 1} if self.count == 1 else {})

    def close(self) -> None:
        pass


def probes(monkeypatch: pytest.MonkeyPatch, **made: Any) -> None:
    """Beside the real ones these probes, each from its maker."""
    real = module.makers

    def makers(**options: Any) -> dict[str, module.Make]:
        return {**made, **real(**options)}

    monkeypatch.setattr(module, "makers", makers)


def unavailable() -> Any:
    raise ProbeUnavailable("nothing here")


def refusing() -> Any:
    raise PermissionError("not for you")


def test_a_probe_that_fails_is_told_once_and_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {"broken": Broken()}
    probes(monkeypatch, broken=lambda: broken, absent=unavailable, refusing=refusing)
    kept = Kept()
    sampled(kept).stop()
    assert kept.problems == [
        "start the refusing probe: not for you",
        "read the broken probe: the sensor is gone",
    ]
    assert "host.memory_used_bytes" in whole_samples(kept)[-1][0]


def test_a_strict_recorder_is_heard_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    probes(monkeypatch, broken=lambda: {"broken": Broken()})
    kept = Kept(strict=True)
    sampler = Sampler(kept, SystemClock(), 0.01)
    sampler.start()
    while "instrument-telemetry" in {thread.name for thread in threading.enumerate()}:
        time.sleep(0.01)
    with pytest.raises(OSError, match="sensor"):
        sampler.stop()
    assert len(kept.summaries) == 1


def test_only_what_has_changed_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    probes(monkeypatch, rising=lambda: {"rising": Rising()})
    kept = Kept()
    sampled(kept).stop()
    first, second, third = kept.samples[:3]
    assert (first.whole, second.whole) == (True, False)
    assert (first.values["rising"], first.values["still"], first.values["gone"]) == (1, 7, 1)
    assert second.values["rising"] == 2
    assert second.values["gone"] is None
    assert not {"still", "process.threads"} & second.values.keys()
    assert "gone" not in third.values
    rows = whole_samples(kept)
    assert [row["still"] for row, _ in rows] == [7] * len(rows)
    assert "gone" not in rows[1][0]


def test_after_a_loss_nothing_is_guessed() -> None:
    trace = Trace()
    trace.take({"a": 1.0, "b": 2.0}, 1.0, whole=True)
    trace.forget()
    assert trace.take({"a": 3.0}, 3.0, whole=False) == ({"a": 3.0}, 2.0)


def test_a_rank_watches_itself_alone() -> None:
    kept = Kept()
    sampled(kept, whole_node=False).stop()
    names = set(whole_samples(kept)[-1][0])
    assert "process.memory_bytes" in names
    assert not [name for name in names if not name.startswith("process.")]


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "0", "SLURM_LOCALID": "3"}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"SLURM_LOCALID": "2"}, False),
        ({"OMPI_COMM_WORLD_LOCAL_RANK": "1"}, False),
    ],
)
def test_who_watches_the_node(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], first: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_first_on_node() is first


def test_beyond_the_budget_the_interval_grows_and_says_so() -> None:
    budget = Budget(percent=1.0)
    for sample in range(6):
        budget.spent(cpu_seconds=sample * 0.02, elapsed_seconds=sample)
    assert budget.widening == 2
    assert budget.reason is not None
    assert "0.02 CPU seconds" in budget.reason
    for sample in range(6, 11):  # now every two seconds: within it
        budget.spent(cpu_seconds=sample * 0.02, elapsed_seconds=5 + (sample - 5) * 2)
    assert budget.widening == 2


def test_a_budget_that_is_kept_changes_nothing() -> None:
    budget = Budget(percent=1.0)
    budget.spent(cpu_seconds=0.5, elapsed_seconds=1)  # the probes are made
    for sample in range(20):
        budget.spent(cpu_seconds=0.5 + sample * 0.009, elapsed_seconds=1 + sample)
    assert (budget.widening, budget.reason) == (1.0, None)


def test_the_budget_counts_all_of_recording_and_the_interval_comes_back() -> None:
    budget = Budget(percent=1.0)
    for sample in range(6):  # telemetry takes 0.5 %, something else 1 %
        budget.spent(sample * 0.005, sample, sample * 0.015)
    assert budget.widening == 2
    assert "all recording 1.5 %" in str(budget.reason)
    for sample in range(6, 11):  # nothing else any more
        budget.spent(sample * 0.005, 5 + (sample - 5) * 2, 0.05 + sample * 0.005)
    assert budget.widening == 1


def test_what_cannot_be_shed_is_told() -> None:
    budget = Budget(percent=1.0)
    for sample in range(6):
        budget.spent(sample * 0.0005, sample, sample * 0.3)
    assert (budget.widening, budget.reason) == (1.0, None)
    assert "recording took 30 % of the time for 5 seconds" in budget.notes[0]


def test_a_sampler_asks_what_all_recording_cost() -> None:
    kept, overhead = Kept(), Overhead()
    sampler = Sampler(kept, SystemClock(), 0.005, budget_percent=200, overhead=overhead)
    sampler.start()
    while len(kept.samples) < 12:
        overhead.add("records", blocking=10.0, cpu=0.0)
        time.sleep(0.01)
    sampler.stop()
    assert "the overhead budget is 200 %" in kept.summaries[0].notes[-1]


def test_a_sampler_that_costs_too_much_samples_less() -> None:
    kept = Kept()
    sampler = Sampler(kept, SystemClock(), 0.005, budget_percent=0.001)
    sampler.start()
    while len(kept.samples) < 12:
        time.sleep(0.01)
    sampler.stop()
    summary = kept.summaries[0]
    assert summary.interval_seconds >= 0.01
    assert "the overhead budget is 0.001 %" in summary.notes[0]


class Hanging:
    """A probe whose driver does not answer."""

    def __init__(self) -> None:
        self.asked, self.answer = threading.Event(), threading.Event()

    def read(self, seconds: float) -> dict[str, float]:
        self.asked.set()
        self.answer.wait(30)
        return {}

    def close(self) -> None:
        pass


def test_a_driver_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instrument.telemetry.sampler.JOIN_SECONDS", 0.05)
    hanging = Hanging()
    probes(monkeypatch, hanging=lambda: {"hanging": hanging})
    kept = Kept()
    sampler = Sampler(kept, SystemClock(), 0.01)
    sampler.start()
    assert hanging.asked.wait(30)
    sampler.stop()
    hanging.answer.set()
    assert kept.problems == ["stop telemetry: a probe has not answered for 0.05 seconds"]
    assert kept.summaries[0].values["process.memory_peak_bytes"]["max"] > 0


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
    values, _ = whole_samples(kept)[0]
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
