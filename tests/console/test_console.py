"""What is printed is kept, and whoever prints notices nothing."""

import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instrument import ExperimentContext
from instrument.cli.console import printed
from instrument.clock import SystemClock
from instrument.console import streams
from instrument.protocols import Store
from instrument.registry import open_store

TOKEN = "hf_" + "abcdefghij" * 3


@pytest.fixture
def store() -> Store:
    return open_store("local", Path(os.environ["INSTRUMENT_STORE"]), SystemClock())


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs a program whose streams are its own: pytest replaces those of this process."""

    def run(code: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        path = tmp_path / "program.py"
        path.write_text(HEAD + textwrap.dedent(code))
        command = [sys.executable, str(path)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=100, check=False, **options
        )

    return run


Script = Callable[..., "subprocess.CompletedProcess[str]"]
HEAD = """
import os, sys, time
from instrument import ExperimentContext
"""


def text_of(store: Store, stream: str | None = None) -> str:
    [run] = store.runs()
    return "".join(part.text for part in printed(store, run.id) if stream in (None, part.stream))


def test_both_streams_in_order(script: Script, store: Store) -> None:
    done = script(
        """
        print("before")
        with ExperimentContext():
            print("one", 1)
            print("two", file=sys.stderr)
            sys.stdout.writelines(["three\\n", "fo"])
            print("ur")
            sys.stdout.write("open")
        print("\\nafter")
        """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "before\none 1\nthree\nfour\nopen\nafter\n"
    assert done.stderr == "two\n"
    assert text_of(store) == "one 1\ntwo\nthree\nfour\nopen"
    assert text_of(store, "stderr") == "two\n"


def test_the_streams_are_what_they_were(script: Script, store: Store) -> None:
    done = script(
        """
        def state():
            return [(id(s), type(s), s.fileno(), s.isatty(), s.encoding, s.errors, s.buffer,
                     s.line_buffering, sorted(vars(s))) for s in (sys.stdout, sys.stderr)]
        before = state()
        with ExperimentContext():
            inside = state()
            with ExperimentContext():
                print("nested")
            assert "write" in vars(sys.stdout)
        assert [one[:-1] for one in inside] == [one[:-1] for one in before]
        assert state() == before
        """
    )
    assert done.returncode == 0, done.stderr


def test_a_child_run_keeps_its_own_lines(script: Script, store: Store) -> None:
    script(
        """
        with ExperimentContext(name="outer"):
            print("outer 1")
            with ExperimentContext(name="inner"):
                print("inner")
            print("outer 2")
        """
    )
    found = {
        run.name: "".join(part.text for part in printed(store, run.id)) for run in store.runs()
    }
    assert found == {"outer": "outer 1\nouter 2\n", "inner": "inner\n"}


def test_threads_and_forked_children(script: Script, store: Store) -> None:
    done = script(
        """
        import multiprocessing, threading
        def work(who):
            print("from", who)
        if __name__ == "__main__":
            with ExperimentContext():
                thread = threading.Thread(target=work, args=("thread",))
                thread.start(); thread.join()
                process = multiprocessing.get_context("fork").Process(target=work, args=("child",))
                process.start(); process.join()
                print("from parent")
        """
    )
    assert done.returncode == 0, done.stderr
    [run] = store.runs()
    parts = printed(store, run.id)
    assert sorted("".join(part.text for part in parts).splitlines()) == [
        "from child", "from parent", "from thread",
    ]  # fmt: skip
    assert len({part.process for part in parts}) == 2


def test_progress_bars_leave_their_last_state(script: Script, store: Store) -> None:
    pytest.importorskip("tqdm")
    done = script(
        """
        from tqdm import tqdm
        with ExperimentContext():
            for i in tqdm(range(1000), mininterval=0):
                pass
            print("\\x1b[31mred\\x1b[0m")
        """
    )
    assert done.stderr.count("it/s") > 900  # each state was shown
    kept = text_of(store)
    assert "1000/1000" in kept
    assert "998/1000" not in kept
    assert kept.endswith("red\n")


def test_a_secret_in_pieces_and_a_key_of_many_lines(script: Script, store: Store) -> None:
    done = script(
        f"""
        token = {TOKEN!r}
        with ExperimentContext():
            print("token:", token[:9], end="", flush=True)
            time.sleep(2.5)
            print(token[9:], "end")
            print("-----BEGIN RSA PRIVATE KEY-----")
            for _ in range(3):
                time.sleep(0.7)
                print("MIIEpAIBAAKCAQEA" * 4)
            print("-----END RSA PRIVATE KEY-----")
            print("after")
        """
    )
    assert TOKEN in done.stdout
    kept = text_of(store)
    assert TOKEN[9:] not in kept
    assert TOKEN[3:9] not in kept
    assert "MIIEpAIB" not in kept
    assert kept.endswith("after\n")
    assert "end\n" in kept


def test_killed_up_to_the_last_flush(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "program.py"
    path.write_text(
        HEAD + "\nExperimentContext().start()\nprint('kept')\ntime.sleep(3)\n"
        "print('last', flush=True)\ntime.sleep(100)\n"
    )
    with subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "kept\n"
        assert child.stdout.readline() == "last\n"
        child.send_signal(signal.SIGKILL)
    assert text_of(store).startswith("kept\n")


def test_a_signal_and_an_exception_lose_nothing(script: Script, store: Store) -> None:
    done = script(
        """
        with ExperimentContext():
            print("one line")
            raise ValueError("no")
        """
    )
    assert done.returncode == 1
    assert text_of(store) == "one line\n"


def test_a_flood_is_bounded(script: Script, store: Store) -> None:
    done = script(
        """
        with ExperimentContext():
            for i in range(6_000):
                print("x" * 600, i)
            time.sleep(2.5)
            for i in range(2_000):
                print("y" * 600, i)
            print("the end")
        """
    )
    assert done.returncode == 0, done.stderr
    [run] = store.runs()
    parts = printed(store, run.id)
    kept = "".join(part.text for part in parts)
    assert len(kept) < 3_000_000
    assert kept.endswith("y 1999\nthe end\n")
    omitted = sum(part.omitted_characters for part in parts)
    lines = done.stdout.splitlines(keepends=True)
    assert len(kept) + omitted == sum(map(len, lines))


def test_switched_off(script: Script, store: Store) -> None:
    code = "with ExperimentContext():\n    print('x')\n    print(vars(sys.stdout))\n"
    done = script(code, env={**os.environ, "INSTRUMENT_CONSOLE": "off"})
    assert done.returncode == 0, done.stderr
    assert text_of(store) == ""
    assert script(code, env={**os.environ, "INSTRUMENT_CONSOLE": "maybe"}).returncode == 1


@pytest.mark.parametrize("stream", [None, object(), io.StringIO()])
def test_streams_of_another_make(stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", stream)
    with ExperimentContext() as run:
        if isinstance(stream, io.StringIO):
            sys.stdout.write("kept\n")
    assert run.state == "COMPLETED"


def test_what_the_stream_raises_is_raised(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    with ExperimentContext():
        with pytest.raises(UnicodeEncodeError):
            print("ü")
        with pytest.raises(TypeError):
            sys.stdout.write(3)  # type: ignore[arg-type]
        print("fine")
    assert text_of(store) == "fine\n"


def test_wrapped_by_somebody_else_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    seen: list[str] = []
    with ExperimentContext(name="first"):
        ours = stream.write

        def wrapped(text: str) -> int:
            seen.append(text)
            return ours(text)

        stream.write = wrapped  # type: ignore[method-assign]
        print("one")
    print("between")
    with ExperimentContext(name="second"):
        print("two")
    stream.flush()
    assert stream.buffer.getvalue() == b"one\nbetween\ntwo\n"
    assert "".join(seen) == "one\nbetween\ntwo\n"
    kept = {run.name: [part.text for part in printed(store, run.id)] for run in store.runs()}
    assert kept == {"first": ["one\n"], "second": ["two\n"]}
    assert streams._find() is None


def test_the_command(script: Script, store: Store) -> None:
    script(
        """
        with ExperimentContext():
            print("out\\tput\\x07")
            print("err", file=sys.stderr)
        """
    )
    command = [sys.executable, "-m", "instrument", "runs", "console", "latest"]

    def show(*more: str) -> str:
        return subprocess.run(
            [*command, *more], capture_output=True, text=True, check=True, timeout=60
        ).stdout

    assert show() == "out\tput\\x07\nerr\n"
    assert show("--stream", "stderr") == "err\n"
    [first, second] = json.loads(show("--json"))
    assert (first["stream"], second["text"]) == ("stdout", "err\n")


def test_nothing_printed_costs_no_thread(script: Script, store: Store) -> None:
    done = script(
        """
        import threading
        with ExperimentContext(monitor_hardware=False):
            time.sleep(0.5)
            assert not any("console" in t.name for t in threading.enumerate())
        """
    )
    assert done.returncode == 0, done.stderr


def test_following_a_run_that_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    with ExperimentContext() as run:
        print("so far")
        deadline = time.monotonic() + 20
        while not printed(store, run.id) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert [part.text for part in printed(store, run.id)] == ["so far\n"]
