"""Every part of the snapshot made to raise, to hang and to return rubbish: the run is unharmed."""

import ctypes
import importlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instrument.canonical import canonical_bytes
from instrument.capture import parts, snapshot
from instrument.capture.parts import NotKnown, read_part
from instrument.capture.snapshot import PARTS, PLACE, Part, capture_place, capture_snapshot
from instrument.clock import SystemClock
from instrument.records import EnvironmentCaptured, RunFinished
from instrument_local import open_store

ALL = (*PARTS, *PLACE)


class Hostile(dict[str, Any]):
    """A mapping that cannot be looked at."""

    def __iter__(self) -> Any:
        raise RuntimeError("do not look")

    items = keys = values = __iter__


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"in": value}
    return value


RUBBISH: dict[str, tuple[Callable[[], Any], str]] = {
    "nothing": (lambda: None, "failed"),
    "a number": (lambda: 7, "failed"),
    "a text": (lambda: "x", "failed"),
    "an object inside": (lambda: {"x": object()}, "failed"),
    "a class inside": (lambda: [dict], "failed"),
    "a lone surrogate": (lambda: {"x": "\ud800"}, "failed"),
    "too deep": (lambda: nested(100), "failed"),
    "far too deep": (lambda: nested(100_000), "failed"),
    "a generator": (lambda: (each for each in "ab"), "failed"),
    "100 MB in one text": (lambda: {"x": "a" * 100_000_000}, "truncated"),
    "100 MB in many": (lambda: ["a" * 100_000] * 1000, "truncated"),
}


def sleep_in_c() -> None:
    ctypes.CDLL(None).usleep(60_000_000)


@pytest.fixture
def blocked_pipe(tmp_path: Path) -> Callable[[], str]:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path.read_text


def replaced(monkeypatch: pytest.MonkeyPatch, part: Part, function: Callable[..., Any]) -> None:
    """Only `part` is left, it does what `function` does, and it may take 0.05 seconds."""
    module, _, name = part.function.partition(":")
    monkeypatch.setattr(
        importlib.import_module(f"instrument.capture.{module}"), name, lambda *_: function()
    )
    short = part._replace(limit_seconds=0.05)
    monkeypatch.setattr(snapshot, "PARTS", (short,) if part in PARTS else ())
    monkeypatch.setattr(snapshot, "PLACE", (short,) if part in PLACE else ())
    monkeypatch.setattr(snapshot, "_known", {})
    monkeypatch.setattr(parts, "_hanging", {})


def captured(part: Part) -> tuple[Any, Any]:
    """The value of `part` at its own level, and its health."""
    facts, healths = capture_snapshot(part.level)
    place, more = capture_place(part.level)
    assert canonical_bytes({**facts, **place}), "what is stored is always JSON"
    [health] = healths + more
    return {**facts, **place}[part.name], health


@pytest.mark.parametrize("part", ALL, ids=lambda part: f"{part.name}-{part.level}")
def test_a_part_that_raises(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("first\nsecond")

    replaced(monkeypatch, part, broken)
    value, health = captured(part)
    assert (value, health.status, health.reason) == (None, "failed", "RuntimeError: first second")


@pytest.mark.parametrize("part", ALL, ids=lambda part: f"{part.name}-{part.level}")
def test_a_part_that_hangs_in_native_code(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced(monkeypatch, part, sleep_in_c)
    value, health = captured(part)
    assert (value, health.status, health.reason) == (None, "timed_out", "not done in 0.05 s")


@pytest.mark.parametrize("part", ALL, ids=lambda part: f"{part.name}-{part.level}")
def test_a_part_that_waits_for_a_pipe(
    part: Part, monkeypatch: pytest.MonkeyPatch, blocked_pipe: Callable[[], str]
) -> None:
    replaced(monkeypatch, part, blocked_pipe)
    assert captured(part)[1].status == "timed_out"


@pytest.mark.parametrize("part", ALL, ids=lambda part: f"{part.name}-{part.level}")
def test_a_part_that_returns_what_is_no_part(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced(monkeypatch, part, lambda: {"x": object()})
    value, health = captured(part)
    assert (value, health.status) == (None, "failed")


@pytest.mark.parametrize("kind", RUBBISH)
def test_rubbish_of_every_kind(kind: str) -> None:
    make, status = RUBBISH[kind]
    value, health = read_part("x", make, limit_seconds=60)
    assert health.status == status
    assert health.reason
    assert len(canonical_bytes(value)) <= parts.LIMIT_BYTES


def test_a_hostile_mapping_stays_outside() -> None:
    value, _ = read_part("x", lambda: Hostile(a=1))
    assert type(value) in {dict, type(None)}


def test_of_what_is_too_large_the_first_entries_are_kept() -> None:
    value, health = read_part("x", lambda: {"a": 1, "b": "y" * 50, "c": 2}, limit_bytes=40)
    assert (value, health.status) == ({"a": 1}, "truncated")
    assert health.reason == "70 bytes of at most 40: the first 1 of 3 entries are kept"
    assert read_part("x", lambda: list(range(9)), limit_bytes=18)[0] == [0, 1, 2]


def test_numbers_that_json_lacks_become_null() -> None:
    assert read_part("x", lambda: {"x": float("nan")})[0] == {"x": None}


def test_what_cannot_be_known_says_why() -> None:
    def unknown() -> None:
        raise NotKnown("no such thing here")

    value, health = read_part("a", unknown)
    assert (value, health.status, health.reason) == (None, "skipped", "no such thing here")
    assert read_part("b", lambda: {"x": 1})[1].status == "done"


def test_what_hangs_is_not_tried_again_while_it_hangs() -> None:
    waits = threading.Event()
    calls = []

    def hang() -> dict[str, int]:
        calls.append(1)
        waits.wait(60)
        return {}

    assert read_part("once", hang, limit_seconds=0.05)[1].reason == "not done in 0.05 s"
    again = read_part("once", hang, limit_seconds=0.05)[1]
    assert (again.status, again.reason) == ("timed_out", "an earlier attempt still hangs")
    assert len(calls) == 1
    waits.set()
    [left] = [t for t in threading.enumerate() if t.name == "instrument-once"]
    left.join()
    assert read_part("once", hang, limit_seconds=5)[1].status == "done"


def test_all_parts_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "TOTAL_SECONDS", 0.3)
    monkeypatch.setattr(snapshot, "_known", {})
    monkeypatch.setattr(snapshot, "_call", lambda *_: time.sleep(5))
    monkeypatch.setattr(parts, "_hanging", {})
    statuses = [health.status for health in capture_snapshot(3)[1]]
    assert statuses == ["timed_out"] + ["skipped"] * (len(statuses) - 1)


RUN = """
import ctypes, os, sys
from instrument.capture import snapshot
snapshot.TOTAL_SECONDS, snapshot.PLACE_SECONDS = 0.6, 0.3
snapshot._call = {behaviour}
from instrument import ExperimentContext
with ExperimentContext({{"lr": 1}}, capture_level=3, monitor_hardware=False) as run:
    run.log_metrics({{"loss": 0.5}})
    print("trained")
sys.exit(7)
"""
BEHAVIOURS = {
    "raise": "lambda *_: 1 / 0",
    "rubbish": "lambda *_: {'x': [object()] * 1000}",
    "huge": "lambda *_: {'x': 'a' * 100_000_000}",
    "hang": "lambda *_: ctypes.CDLL(None).sleep(1000)",
    "pipe": "lambda *_: os.open(os.environ['PIPE'], os.O_RDONLY)",
    "exit": "lambda *_: sys.exit(3)",
}


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_the_run_is_unharmed(
    name: str, tmp_path: Path, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setenv("PIPE", str(tmp_path / "pipe"))
    program = RUN.format(behaviour=BEHAVIOURS[name])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (7, "trained\n"), done.stderr
    store = open_store(store_path, SystemClock())
    [run] = store.runs()
    entries = [entry.record for entry in store.entries(run.id)]
    [environment] = [each for each in entries if isinstance(each, EnvironmentCaptured)]
    assert len(environment.health) == sum(part.until == 3 for part in ALL)
    assert "done" not in {health.status for health in environment.health}
    expected = {"huge": {"truncated", "timed_out"}, "hang": {"timed_out"}, "pipe": {"timed_out"}}
    assert environment.health[0].status in expected.get(name, {"failed"})
    assert all(health.reason for health in environment.health)
    assert environment.snapshot is not None
    assert msgspec.json.decode(store.get_bytes(environment.snapshot))["level"] == 3
    [end] = [each for each in entries if isinstance(each, RunFinished)]
    assert str(end.state) == "COMPLETED"
