"""Workers live longer than runs: what they log goes to the run that is open now, or nowhere."""

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from instrument import ExperimentContext, log_metrics
from instrument.clock import SystemClock
from instrument.registry import open_store

PROGRAM = Path(__file__).with_name("reused_workers.py")


def run_program(*arguments: str) -> tuple[dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, PROGRAM, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told, done.stderr


@pytest.mark.parametrize(
    ("how", "begun"),
    [
        ("joblib", "late"),
        ("fork", "late"),
        ("fork", "early"),
        ("forkserver", "late"),
        ("forkserver", "early"),
        ("spawn", "late"),
    ],
)
def test_workers_that_are_kept_log_into_the_run_that_is_open(
    how: str, begun: str, store_path: Path
) -> None:
    told, err = run_program(how, begun)
    store = open_store("local", store_path, SystemClock())
    for number, (run_id, seen) in enumerate(told["runs"]):
        assert set(seen) == {run_id}
        expected = {f"task_{10 * number + which}" for which in (0, 1)}
        assert set(store.run(run_id).metrics) == expected
        assert store.run(run_id).recording.complete
    if begun == "early":  # never part of a run: the mistake is the user's, as in the parent
        assert "log_metrics needs an open run, and its parent process" in told["early"]
        if how != "fork":
            assert "has no run open now" in told["late"]
    else:  # a task that outlived its run: its code must not break
        assert told["late"] == [None]
        assert err.count("log_metrics is not recorded: the run of this worker has ended") == 1
    assert store.verify().ok


def _logs_through(run: ExperimentContext, begin: Any, done: Any) -> None:
    run.log_metrics({"before": 1.0})
    done.put("first")
    begin.get()
    run.log_metrics({"after": 1.0})
    log_metrics({"module": 1.0})
    done.put("second")


@pytest.mark.skipif(sys.platform == "win32", reason="fork")
def test_a_forked_child_that_holds_the_run_itself_leaves_it_alone_once_it_has_ended(
    store_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    context = multiprocessing.get_context("fork")
    begin, done = context.SimpleQueue(), context.SimpleQueue()
    with ExperimentContext(monitor_hardware=False) as first:
        child = context.Process(target=_logs_through, args=(first, begin, done))
        child.start()
        assert done.get() == "first"
    with ExperimentContext(monitor_hardware=False) as second:
        begin.put(None)
        assert done.get() == "second"
        child.join()
    store = open_store("local", store_path, SystemClock())
    assert store.run(first.id).metrics == {"before": 1.0}
    assert store.run(second.id).metrics == {"module": 1.0}
    assert f"run {first.id} has ended: log_metrics of after" in capfd.readouterr().err


def _which(begin: Any, done: Any) -> None:
    from instrument import current_run

    for _ in range(2):
        begin.get()
        run = current_run()
        done.put(run.id if run is not None else None)


def test_side_by_side_runs_are_nobodys_and_nested_ones_the_innermosts(store_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    begin, done = context.SimpleQueue(), context.SimpleQueue()
    child = context.Process(target=_which, args=(begin, done))
    child.start()  # before any run
    one, other = (ExperimentContext(monitor_hardware=False) for _ in range(2))
    with one, ExperimentContext(monitor_hardware=False) as inner:
        begin.put(None)
        assert done.get() == inner.id
    one, other = (ExperimentContext(monitor_hardware=False) for _ in range(2))
    import contextvars

    contextvars.copy_context().run(one.start)
    contextvars.copy_context().run(other.start)
    begin.put(None)
    assert done.get() is None
    one.finish()
    other.finish()
    child.join()


def test_a_child_started_in_a_run_keeps_to_it_while_another_is_opened_inside(
    store_path: Path,
) -> None:
    code = "import sys, instrument; sys.stdin.readline(); instrument.log_metrics({'a': 1})"
    with ExperimentContext(monitor_hardware=False) as outer:
        child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
        with ExperimentContext(monitor_hardware=False) as inner:
            child.communicate(b"\n", timeout=60)
    store = open_store("local", store_path, SystemClock())
    assert (store.run(outer.id).metrics, store.run(inner.id).metrics) == ({"a": 1}, {})


def test_a_context_in_a_kept_worker_is_a_child_of_the_run_that_is_open(store_path: Path) -> None:
    code = (
        "import sys, instrument\n"
        "for line in sys.stdin:\n"
        "    with instrument.ExperimentContext(monitor_hardware=False) as run: pass\n"
        "    print(run.id, flush=True)\n"
    )
    store = open_store("local", store_path, SystemClock())
    with ExperimentContext(monitor_hardware=False) as first:
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert child.stdin is not None
        assert child.stdout is not None
        print(file=child.stdin, flush=True)
        assert store.run(child.stdout.readline().strip()).parent_run_id == first.id
    with ExperimentContext(monitor_hardware=False) as second:
        print(file=child.stdin, flush=True)
        assert store.run(child.stdout.readline().strip()).parent_run_id == second.id
    child.communicate(timeout=60)


def test_where_no_board_can_be_put_up_workers_take_part_all_the_same(
    store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    code = (
        "import subprocess, sys, instrument\n"
        "with instrument.ExperimentContext(monitor_hardware=False) as run:\n"
        "    inner = 'import instrument; instrument.log_metrics({\"a\": 1})'\n"
        "    subprocess.run([sys.executable, '-c', inner], check=True)\n"
        "print(run.id)"
    )
    monkeypatch.setenv("TMPDIR", str(tmp_path / "file"))
    run_id = subprocess.check_output([sys.executable, "-c", code], text=True).strip()
    assert open_store("local", store_path, SystemClock()).run(run_id).metrics == {"a": 1}


def test_the_board_goes_with_the_last_run_and_is_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import os, pathlib, instrument\n"
        "here = pathlib.Path(os.environ['TMPDIR'], f'instrument-{os.getuid()}')\n"
        "with instrument.ExperimentContext(monitor_hardware=False) as run:\n"
        "    (link,) = here.iterdir()\n"
        "    assert run.id in os.readlink(link)\n"
        "    assert here.stat().st_mode & 0o777 == 0o700\n"
        "assert not list(here.iterdir())\n"
    )
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))
