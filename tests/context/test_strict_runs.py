"""A strict run is recorded or does not start, and what the body raised comes out of it."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from instrument import ExperimentContext, current_run, reproducible
from instrument.clock import SystemClock
from instrument.errors import StoreError
from instrument.registry import open_store
from instrument.testing import MemoryBackend
from instrument.vocabulary import RunState

QUIET: dict[str, Any] = {"monitor_hardware": False, "capture_level": 1}


@pytest.fixture
def unwritable(monkeypatch: pytest.MonkeyPatch) -> str:
    """A store that opens, and in which nothing can be written: root may do the rest."""
    monkeypatch.setenv("INSTRUMENT_STRICT", "1")
    monkeypatch.setenv("INSTRUMENT_STORE", "/proc/x")
    return "/proc/x"


def test_a_strict_run_that_cannot_be_recorded_is_refused_at_the_start(unwritable: str) -> None:
    begun = []
    context = ExperimentContext(**QUIET)
    with (
        pytest.raises(StoreError, match=f"the store {unwritable} cannot be written: .*strict"),
        context,
    ):
        begun.append("body")
    assert begun == []
    assert current_run() is None
    assert (context.state, context.id, context.recording) == (None, "", None)
    with pytest.raises(StoreError):  # nor is it taken for one that was started
        context.start()


def test_a_strict_decorated_call_that_cannot_be_recorded_does_not_run(unwritable: str) -> None:
    begun: list[str] = []
    with pytest.raises(StoreError, match=unwritable):
        reproducible(lambda: begun.append("body"))()
    assert begun == []


def test_a_strict_command_that_cannot_be_recorded_is_not_started(unwritable: str) -> None:
    command = [sys.executable, "-m", "instrument", "run", "--", "echo", "started"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"error: the store {unwritable} cannot be written")
    assert done.stderr.count("\n") == 1


def full(data: bytes) -> str:
    raise OSError(28, "No space left on device")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryBackend:
    store = MemoryBackend()
    monkeypatch.setattr(store, "put_bytes", full)
    return store


def test_what_the_body_raised_comes_out_and_ours_is_a_note_on_it(store: MemoryBackend) -> None:
    mine = ValueError("mine")
    with (
        pytest.raises(ValueError, match="mine") as caught,
        ExperimentContext(backend=store, strict=True, **QUIET),
    ):
        raise mine
    assert caught.value is mine
    assert [note for note in mine.__notes__ if "No space left" in note]


def test_what_a_decorated_call_raised_comes_out(
    monkeypatch: pytest.MonkeyPatch, store_path: Path
) -> None:
    @reproducible
    def fails() -> None:
        raise ValueError("mine")

    monkeypatch.setenv("INSTRUMENT_STRICT", "1")
    monkeypatch.setattr("instrument_local.store.LocalStore.put_bytes", lambda *_: full(b""))
    with pytest.raises(ValueError, match="mine") as caught:
        fails()
    assert "No space left" in "".join(caught.value.__notes__)


def test_an_exit_whose_notes_nobody_sees_says_what_failed(
    store: MemoryBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit), ExperimentContext(backend=store, strict=True, **QUIET):
        sys.exit(0)
    assert "recording this run failed too: [Errno 28] No space left" in capsys.readouterr().err


def test_where_the_body_did_not_fail_ours_is_raised(store: MemoryBackend) -> None:
    with (
        pytest.raises(OSError, match="No space left"),
        ExperimentContext(backend=store, strict=True, **QUIET),
    ):
        pass


def test_what_fails_at_the_end_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch, store_path: Path
) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("instrument.intercept.complete", lambda *_: full(b""))
    run = ExperimentContext(strict=True, **QUIET).start()
    run.log_metrics({"loss": 0.5}, step=0)
    with pytest.raises(OSError, match="No space left"):
        run.finish()
    assert [seal.parent.name for seal in store_path.glob("runs/*/*/run.json")] == [run.id]
    found = open_store("local", store_path, SystemClock()).run(run.id)
    assert (found.state, found.metrics) == (RunState.COMPLETED, {"loss": 0.5})
    assert not list((store_path / "open").iterdir())
    assert signal.getsignal(signal.SIGTERM) is handler
