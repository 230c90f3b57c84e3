"""Statistics over time, in bounded memory."""

import pytest

from instrument.readings import MOST_PHASES, Phases, Readings


def test_a_value_counts_for_the_time_it_stands_for() -> None:
    readings = Readings()
    readings.add({"a": 0.0}, 1.0)
    readings.add({"a": 100.0}, 9.0)
    assert readings.summary()["a"] == {"mean": 90, "min": 0, "max": 100, "p95": 100, "last": 100}


def test_the_percentile() -> None:
    readings = Readings()
    for value in range(1, 101):
        readings.add({"a": float(value)}, 1.0)
    assert readings.summary()["a"]["p95"] == 95


def test_readings_that_come_and_go() -> None:
    readings = Readings()
    readings.add({"a": 1.0}, 1.0)
    readings.add({"b": 5.0}, 1.0)
    readings.add({"a": 3.0, "b": 6.0}, 1.0)
    summary = readings.summary()
    assert (summary["a"]["mean"], summary["a"]["p95"]) == (2, 3)
    assert (summary["b"]["mean"], summary["b"]["min"]) == (5.5, 5)


def test_memory_stays_bounded_and_the_statistics_true() -> None:
    readings = Readings(most_rows=64)
    for value in range(10_000):
        readings.add({"a": float(value)}, 1.0)
    found = readings.summary()["a"]
    assert (found["mean"], found["min"], found["max"], found["last"]) == (4999.5, 0, 9999, 9999)
    assert found["p95"] == pytest.approx(9500, rel=0.05)
    rows = readings._seconds  # memory has no public face
    assert len(rows) <= 64
    assert max(rows) == min(rows)  # each stands for as long, else the percentile leans


def test_no_time_at_all() -> None:
    readings = Readings()
    readings.add({"a": 4.0}, 0.0)
    assert readings.summary()["a"]["mean"] == 4


def test_samples_belong_to_the_phases_that_are_open() -> None:
    phases = Phases()
    phases.started("train")
    phases.add({"a": 1.0}, 1.0)
    phases.started("train/step")
    phases.add({"a": 3.0}, 1.0)
    phases.finished("train/step", 2.0, 1.5, {"0": 70})
    phases.add({"a": 5.0}, 1.0)
    summary = phases.summary()
    assert summary["train"]["readings"]["a"]["max"] == 5
    assert summary["train/step"]["readings"]["a"]["mean"] == 3
    assert summary["train/step"]["gpu_memory_peak_bytes"] == {"0": 70}
    assert (summary["train"]["open"], summary["train"]["count"]) == (1, 0)


def test_a_phase_for_every_step_does_not_fill_the_memory() -> None:
    phases = Phases()
    for step in range(MOST_PHASES + 3):
        phases.started(f"step {step}")
        phases.finished(f"step {step}", 1.0, 1.0, {})
    assert len(phases.summary()) == MOST_PHASES
    assert phases.left_out == 3
