"""What a run says that recording it cost, against what it cost seen from outside."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instrument import ExperimentContext, registry, reproducible
from instrument.background import Background
from instrument.capture import snapshot
from instrument.overhead import OFTEN, SELDOM, Overhead, clocks, helping, weights
from instrument.records import CallFinished, CallStarted
from instrument.testing import MemoryBackend
from instrument_local import store as local

SLOW_SECONDS = 0.2
LEAST = 0.5
"""So much of the time that was truly spent is told, however busy the machine is."""


def overhead_of(run: ExperimentContext) -> dict[str, float]:
    assert run.store is not None
    return run.store.run(run.id).recording.overhead


def slowly(work: Callable[..., Any]) -> Callable[..., Any]:
    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(SLOW_SECONDS)
        return work(*args, **kwargs)

    return slow


def slow_journal(run: Any) -> None:
    run.recording.take = slowly(run.recording.take)


def quiet(**options: Any) -> ExperimentContext:
    return ExperimentContext(capture_level=1, monitor_hardware=False, **options)


def test_many_metrics_are_told_by_an_estimate() -> None:
    with quiet() as run:
        recording: Any = run.recording
        take = recording.take

        def slow(*record: Any) -> None:
            time.sleep(0.001)
            take(*record)

        recording.take = slow
        began = time.perf_counter()
        for step in range(6 * OFTEN):
            run.log_metrics({"loss": 0.5}, step=step)
        spent = time.perf_counter() - began
        recording.take = take
    told = overhead_of(run)["records_blocking_seconds"]
    assert LEAST * spent < told < 1.1 * spent + SLOW_SECONDS


def test_one_metric_that_is_slow_is_told() -> None:
    with quiet() as run:
        slow_journal(run)
        run.log_metrics({"loss": 0.5})
    assert overhead_of(run)["records_blocking_seconds"] >= SLOW_SECONDS


def test_other_records_and_parameters_are_told() -> None:
    with quiet() as run:
        slow_journal(run)
        with run.phase("train"):  # two records
            pass
        run.log_params({"lr": 0.1})
    assert overhead_of(run)["records_blocking_seconds"] >= 3 * SLOW_SECONDS


def test_an_artifact_is_told_once_and_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    with quiet() as run:
        assert run.recording is not None
        assert run.store is not None
        before = run.recording.overhead.told(1)["blocking_seconds"]
        slow_journal(run)
        monkeypatch.setattr(local.LocalStore, "put_file", slowly(local.LocalStore.put_file))
        began = time.perf_counter()
        run.log_artifact("weights", data={"a": 1})
        spent = time.perf_counter() - began
        told = run.recording.overhead.told(1)
    assert 2 * SLOW_SECONDS <= told["artifacts_blocking_seconds"] <= spent
    assert told["blocking_seconds"] - before <= spent


@pytest.mark.parametrize("what", ["log_checkpoint", "use_artifact"])
def test_checkpoints_and_inputs_are_told(what: str) -> None:
    with quiet() as run:
        run.log_artifact("data", data={"a": 1})
        assert run.recording is not None
        before = run.recording.overhead.told(1)["artifacts_blocking_seconds"]
        slow_journal(run)
        getattr(run, what)({"b": 2} if what == "log_checkpoint" else "data")
        told = run.recording.overhead.told(1)
    assert told["artifacts_blocking_seconds"] - before >= SLOW_SECONDS


@pytest.mark.parametrize("half", [CallStarted, CallFinished])
def test_calls_of_decorated_functions_are_told_without_what_they_do(half: type) -> None:
    """Their start and their end, each by itself."""

    @reproducible
    def step() -> None:
        time.sleep(0.001)

    with quiet() as run:
        recording: Any = run.recording
        take = recording.take

        def slow(record: Any, at: Any) -> None:
            if isinstance(record, half):
                time.sleep(0.001)
            take(record, at)

        began = time.perf_counter()
        recording.take = slow
        for _ in range(2 * OFTEN):
            step()
        recording.take = take
        spent = time.perf_counter() - began
    told = overhead_of(run)["calls_blocking_seconds"]
    assert LEAST * 2 * OFTEN * 0.001 < told < spent * 0.9


def test_start_and_end_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "open_store", slowly(registry.open_store))
    monkeypatch.setattr(Background, "stop", slowly(Background.stop))
    with quiet() as run:
        pass
    told = overhead_of(run)
    assert told["capture_blocking_seconds"] >= SLOW_SECONDS
    assert told["end_blocking_seconds"] >= SLOW_SECONDS


def test_what_is_captured_beside_costs_cpu_and_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep, is_kept = Background._keep_snapshot, threading.Event()

    def busy(self: Background, level: int) -> None:
        keep(self, level)
        before = time.thread_time()
        while time.thread_time() < before + SLOW_SECONDS:
            pass
        is_kept.set()

    monkeypatch.setattr(Background, "_keep_snapshot", busy)
    with quiet() as run:
        assert run.recording is not None
        before = run.recording.overhead.told(1)["blocking_seconds"]
        assert is_kept.wait(60)
        for _ in range(1000):
            if run.recording.overhead.seconds() >= before + SLOW_SECONDS:
                break
            time.sleep(0.01)
        assert run.recording.overhead.told(1)["blocking_seconds"] == before
    assert overhead_of(run)["capture_cpu_seconds"] >= SLOW_SECONDS


def test_a_part_of_the_snapshot_that_is_busy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy() -> dict[str, str]:
        before = time.thread_time()
        while time.thread_time() < before + SLOW_SECONDS:
            pass
        return {"busy": "yes"}

    part = snapshot.Part("busy", snapshot.BASIC, "busy:busy", static=False)
    monkeypatch.setattr(snapshot, "_call", lambda *_: busy())
    monkeypatch.setattr(snapshot, "PARTS", (part,))
    monkeypatch.setattr(snapshot, "PLACE", ())
    with quiet() as run:
        pass
    assert overhead_of(run)["capture_cpu_seconds"] >= SLOW_SECONDS


def test_what_is_loaded_costs_the_cpu_time_of_its_digest(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "weights.pt"
    torch.save({"weights": torch.zeros(16 << 20)}, path)
    before = time.thread_time()
    hashlib.sha256(path.read_bytes())
    needed = time.thread_time() - before
    with quiet() as run:
        torch.load(path)
    told = overhead_of(run)
    assert told["interception_cpu_seconds"] >= LEAST * needed
    assert 0 < told["interception_blocking_seconds"] < told["duration_seconds"]


def test_the_whole_is_the_sum_of_its_parts_and_has_a_share() -> None:
    with ExperimentContext(capture_level=1) as run:
        run.log_metrics({"loss": 0.5})
        run.log_artifact("data", data={"a": 1})
        time.sleep(1.3)  # a sample is taken
    told = overhead_of(run)
    for kind in ("blocking_seconds", "cpu_seconds"):
        parts = [seconds for name, seconds in told.items() if name.endswith(f"_{kind}")]
        assert told[kind] == pytest.approx(sum(parts), abs=1e-5)
        assert told[kind] > 0
    assert told["telemetry_cpu_seconds"] > 0
    assert "telemetry_blocking_seconds" not in told
    assert told["duration_seconds"] >= 1.3
    assert told["blocking_share"] == told["blocking_seconds"] / told["duration_seconds"]


def test_weights_stand_for_all_calls() -> None:
    weight = weights()
    calls = 17 * OFTEN + 3 * SELDOM
    given = [next(weight) for _ in range(calls)]
    assert sum(given) == calls
    assert given[:OFTEN] == [1] * OFTEN
    assert len([one for one in given if one]) == OFTEN + 16 + 3


def test_calls_that_stand_for_many_took_no_longer_than_the_time() -> None:
    overhead = Overhead()
    cpu, now = clocks()
    time.sleep(0.01)
    overhead.estimate("records", 1000, (cpu, now))
    assert 0.01 <= overhead.told(1)["records_blocking_seconds"] < 1


def test_a_block_in_a_block_is_a_part_of_it_and_helpers_count() -> None:
    overhead = Overhead()

    def work() -> None:
        before = time.thread_time()
        while time.thread_time() < before + 0.05:
            pass

    with overhead.span("artifacts"), overhead.span("records"):
        helper = threading.Thread(target=helping(work))
        helper.start()
        helper.join()
        overhead.estimate("records", 5, clocks())
    told = overhead.told(1)
    assert "records_blocking_seconds" not in told
    assert told["artifacts_cpu_seconds"] >= 0.05


def test_seconds_are_told_to_the_microsecond() -> None:
    """More digits are noise, and made of each run's journal a block more on disk."""
    store = MemoryBackend()
    with ExperimentContext(backend=store, capture_level=1, monitor_hardware=False) as run:
        run.log_metrics({"loss": 1.0})
    told = [value for entry in store.entries(run.id) for value in _seconds_in(entry.record)]
    assert len(told) > 5
    assert [value for value in told if round(value, 6) != value] == []


def _seconds_in(value: object) -> Iterator[float]:
    plain = msgspec.to_builtins(value)
    if isinstance(plain, dict):
        for name, inner in plain.items():
            if name.endswith("seconds") and isinstance(inner, float):
                yield inner
            yield from _seconds_in(inner)
    elif isinstance(plain, (list, tuple)):
        for inner in plain:
            yield from _seconds_in(inner)
