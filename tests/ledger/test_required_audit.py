"""T55: where the audit is required, no run begins or ends that the ledger does not know of."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ledger.making import kinds, store_at, verify

from instrument import ExperimentContext, current_run, reproducible
from instrument.audit import RunBegan, RunSealed
from instrument.clock import SystemClock
from instrument.errors import AuditError, StoreError
from instrument.testing import MemoryBackend
from instrument.vocabulary import RunState
from instrument_local import LocalStore
from instrument_local.files import Disk
from instrument_local.layout import Layout
from instrument_local.maintenance import maintenance

QUIET: dict[str, Any] = {"monitor_hardware": False, "capture_level": 1}


@pytest.fixture(autouse=True)
def _required(monkeypatch: pytest.MonkeyPatch, store_path: Path) -> None:
    monkeypatch.setenv("INSTRUMENT_AUDIT", "required")
    monkeypatch.setenv("INSTRUMENT_CAPTURE_LEVEL", "1")
    store_at(store_path).put_bytes(b"")


def block(store_path: Path) -> None:
    """Let nothing be written to the ledger; permissions would not stop root."""
    if (store_path / "ledger").exists():
        (store_path / "ledger").rename(store_path / "ledger.aside")
    (store_path / "ledger").write_bytes(b"in the way")


def unblock(store_path: Path) -> None:
    (store_path / "ledger").unlink()
    if (store_path / "ledger.aside").exists():
        (store_path / "ledger.aside").rename(store_path / "ledger")


def told(store_path: Path) -> list[tuple[str, bool]]:
    """What the ledger says of runs, in order, each with whether it was taken in."""
    return [
        (entry.event.__struct_config__.tag, entry.index is not None)  # type: ignore[misc]
        for entry in store_at(store_path).ledger.entries()
        if isinstance(entry.event, RunBegan | RunSealed)
    ]


def is_one_line_that_helps(message: str) -> bool:
    return "\n" not in message and "audit=required" in message and "ledger" in message


def test_T55_a_run_that_the_ledger_cannot_tell_of_does_not_start(store_path: Path) -> None:  # noqa: N802 - its id
    block(store_path)
    context, begun = ExperimentContext(**QUIET), []
    with (
        pytest.raises(AuditError, match="no directory of ours") as refused,
        context,
    ):
        begun.append("body")
    assert begun == []
    assert is_one_line_that_helps(str(refused.value))
    assert isinstance(refused.value, StoreError)
    assert (current_run(), context.state, context.id) == (None, None, "")
    assert not list(store_path.glob("runs/*/*"))
    with pytest.raises(AuditError):
        reproducible(lambda: begun.append("call"))()
    assert begun == []


def test_T55_a_command_that_the_ledger_cannot_tell_of_is_not_started(store_path: Path) -> None:  # noqa: N802
    block(store_path)
    done = run_command("echo started")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: run ")
    assert done.stderr.count("\n") == 1
    assert is_one_line_that_helps(done.stderr.rstrip())


def run_command(command: str) -> "subprocess.CompletedProcess[str]":
    arguments = [sys.executable, "-m", "instrument", "run", "--", "sh", "-c", command]
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


def test_T55_the_beginning_is_in_the_ledger_before_the_first_record(  # noqa: N802
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: list[list[tuple[str, bool]]] = []
    begin = LocalStore.begin

    def spying(store: LocalStore, process: Any) -> Any:
        before.append(told(store_path))
        return begin(store, process)

    monkeypatch.setattr(LocalStore, "begin", spying)
    with ExperimentContext(**QUIET) as run:
        run.log_metrics({"loss": 0.5}, step=0)
    assert before == [[("run_began", True)]]
    assert told(store_path) == [("run_began", True), ("run_sealed", True)]
    events = [entry.event for entry in store_at(store_path).ledger.entries()]
    assert {event.run_id for event in events if isinstance(event, RunBegan | RunSealed)} == {run.id}
    found = verify(store_at(store_path))
    assert (found.verdict, found.problems, found.pending) == ("ok-unanchored", (), 0)


def test_T55_what_the_ledger_is_told_is_on_the_disk(  # noqa: N802
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last change of a name in the list is followed by a sync of the list."""
    calls: list[tuple[str, Path]] = []
    files = Layout(store_path, SystemClock(), Disk()).files
    sync, link = type(files).sync_directory, Disk().link

    def syncing(self: Any, path: Path) -> None:
        calls.append(("sync", path))
        sync(self, path)

    class Spying(Disk):
        def __init__(self) -> None:
            super().__init__()
            self.link = self._link

        def _link(self, source: Path, target: Path) -> None:
            calls.append(("link", target.parent))
            link(source, target)

    monkeypatch.setattr(type(files), "sync_directory", syncing)
    pending = store_path / "ledger/pending"
    store = store_at(store_path, Spying())
    with (
        maintenance(Layout(store_path, SystemClock(), Disk()), "test"),
        ExperimentContext(backend=store, **QUIET),
    ):
        assert [call for call in calls if call[1] == pending][-2:] == [
            ("link", pending),
            ("sync", pending),
        ]
    assert [call for call in calls if call[1] == pending][-2:] == [
        ("link", pending),
        ("sync", pending),
    ]


def test_T55_a_damaged_ledger_takes_in_no_run(store_path: Path) -> None:  # noqa: N802
    with ExperimentContext(**QUIET):
        pass
    for entries in (store_path / "ledger/entries").iterdir():
        entries.write_bytes(entries.read_bytes().replace(b'"uid":', b'"uid":1', 1))
    with pytest.raises(AuditError, match="not what the head says"), ExperimentContext(**QUIET):
        raise AssertionError
    assert len(list(store_path.glob("runs/*/*/"))) == 1


@pytest.fixture
def lost_at_the_end(store_path: Path) -> ExperimentContext:
    """A run during which the ledger stops being writable."""
    run = ExperimentContext(**QUIET)
    run.start()
    block(store_path)
    run.log_metrics({"loss": 0.5}, step=0)
    with pytest.raises(AuditError, match="has ended, but audit=required") as raised:
        run.finish()
    assert is_one_line_that_helps(str(raised.value))
    return run


def test_T55_a_ledger_that_is_lost_during_a_run_ends_none_and_is_raised_after_it(  # noqa: N802
    lost_at_the_end: ExperimentContext, store_path: Path
) -> None:
    run = store_at(store_path).run(lost_at_the_end.id)
    assert (run.state, run.metrics, run.recording.complete) == (
        RunState.COMPLETED,
        {"loss": 0.5},
        True,
    )
    assert len(list(store_path.glob("runs/*/*/run.json"))) == 1
    unblock(store_path)
    store = store_at(store_path)
    assert verify(store).problems == ()
    assert [name for name, _ in told(store_path)] == ["run_began", "run_sealed"]


def test_T55_what_the_body_raised_comes_out_and_ours_is_a_note_on_it(store_path: Path) -> None:  # noqa: N802
    mine = ValueError("mine")

    def fail() -> None:
        block(store_path)
        raise mine

    with pytest.raises(ValueError, match="mine") as caught, ExperimentContext(**QUIET):
        fail()
    assert caught.value is mine
    assert "audit=required" in "".join(mine.__notes__)


def test_T55_a_decorated_call_that_the_ledger_cannot_close_raises(store_path: Path) -> None:  # noqa: N802
    with pytest.raises(AuditError, match="has ended"):
        reproducible(lambda: block(store_path))()


@pytest.mark.parametrize(("code", "expected"), [(0, 3), (5, 5)])
def test_T55_a_command_that_failed_keeps_its_exit_code(  # noqa: N802
    store_path: Path, code: int, expected: int
) -> None:
    ledger = store_path / "ledger"
    done = run_command(f"mv {ledger} {ledger}.aside; touch {ledger}; echo done; exit {code}")
    assert (done.returncode, done.stdout) == (expected, "done\n")
    assert is_one_line_that_helps(done.stderr.rstrip()), done.stderr


@pytest.mark.parametrize("how", ["start()", "SIGTERM"])
def test_T55_where_nobody_can_catch_it_it_is_said(store_path: Path, how: str) -> None:  # noqa: N802
    ledger = store_path / "ledger"
    script = f"""
import os, signal
from instrument import ExperimentContext
run = ExperimentContext(monitor_hardware=False, capture_level=1).start()
os.rename({str(ledger)!r}, {str(ledger) + ".aside"!r})
open({str(ledger)!r}, "w").close()
if {how!r} == "SIGTERM":
    os.kill(os.getpid(), signal.SIGTERM)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == (-signal.SIGTERM if how == "SIGTERM" else 0)
    assert is_one_line_that_helps(done.stderr.rstrip()), done.stderr


def test_T55_while_another_maintains_the_store_the_list_holds_it(store_path: Path) -> None:  # noqa: N802
    with maintenance(Layout(store_path, SystemClock(), Disk()), "gc"):
        with ExperimentContext(**QUIET):
            assert told(store_path) == [("run_began", False)]
        assert told(store_path) == [("run_began", False), ("run_sealed", False)]
    assert verify(store_at(store_path)).size == 2


def test_T55_a_store_that_keeps_no_ledger_is_refused() -> None:  # noqa: N802
    with pytest.raises(AuditError, match="MemoryBackend keeps no ledger"):
        ExperimentContext(backend=MemoryBackend(), **QUIET).start()


def test_T55_a_store_that_cannot_be_opened_is_refused(store_path: Path) -> None:  # noqa: N802
    (store_path / "FORMAT").write_bytes(b"damaged")
    with pytest.raises(StoreError, match="is damaged"):
        ExperimentContext(**QUIET).start()


def test_T55_a_run_that_was_killed_is_told_until_repair_closes_it(store_path: Path) -> None:  # noqa: N802
    script = "from instrument import ExperimentContext as E; import os; E().start(); os._exit(9)"
    subprocess.run([sys.executable, "-c", script], check=False, env={**os.environ})
    store = store_at(store_path)
    (began,) = told(store_path)
    assert began == ("run_began", True)
    assert any("not closed: 1" in said for said in verify(store).says)
    store.repair(why="its node went down")
    assert not any("not closed" in said for said in verify(store).says)
    assert ("run_sealed", True) in told(store_path)


def test_T55_a_run_that_vanished_before_it_was_closed_is_told(store_path: Path) -> None:  # noqa: N802
    import shutil

    run = ExperimentContext(**QUIET).start()
    directory = next(store_path.glob(f"runs/*/{run.id}"))
    directory.rename(store_path / "aside")
    found = verify(store_at(store_path))
    (store_path / "aside").rename(directory)
    run.finish()
    assert [(each.kind, each.severity) for each in found.problems] == [("run_missing", "note")]
    assert verify(store_at(store_path)).problems == ()
    shutil.rmtree(directory)
    assert kinds(verify(store_at(store_path))) == {"seal_missing"}


def test_T55_by_default_no_run_waits_for_the_ledger(  # noqa: N802
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INSTRUMENT_AUDIT")
    block(store_path)
    with ExperimentContext(**QUIET) as run:
        pass
    assert store_at(store_path).run(run.id).state is RunState.COMPLETED


def test_T55_every_rank_begins_in_the_ledger_and_the_last_one_closes_the_run(  # noqa: N802
    store_path: Path,
) -> None:
    script = "from instrument import ExperimentContext as E\nwith E(monitor_hardware=False): pass"
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env={
                **os.environ,
                "RANK": str(rank),
                "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": "29517",
            },
        )
        for rank in range(2)
    ]
    assert [rank.wait(60) for rank in ranks] == [0, 0]
    store = store_at(store_path)
    assert verify(store).problems == ()
    (run,) = store.runs()
    events = [entry.event for entry in store.ledger.entries()]
    begun = [event.run_id for event in events if isinstance(event, RunBegan)]
    assert begun == [run.id, run.id]
    assert isinstance(events[-1], RunSealed)
