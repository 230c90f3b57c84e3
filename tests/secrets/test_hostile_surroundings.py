"""T38: environments that break what programs take for granted."""

import itertools
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from instrument.clock import SystemClock
from instrument.redaction import redact_text
from instrument.registry import open_store

PROGRAM = """
import os, sys
{before}
from instrument import ExperimentContext
with ExperimentContext({{"lr": 0.1}}, name="odd", store=sys.argv[1]) as run:
    print("printed")
    run.log_metrics({{"loss": 0.5}}, step=0)
    run.log_artifact("data", "dataset", data={{"a": 1}})
print("done")
"""
ODD_VALUES = r"""
os.environb[b'HF_ODD'] = b'a\xffb'
os.environb[b'X_TOKEN'] = b'secret-\xff-value-1'
"""
ODD_HOST = """
import platform, socket
real, name = os.uname(), '../a/b'
os.uname = lambda: os.uname_result((real[0], name, *real[2:]))
socket.gethostname = platform.node = lambda: name
"""
GONE = """
import tempfile
gone = tempfile.mkdtemp()
os.chdir(gone)
os.rmdir(gone)
"""
CLOSED = """
sys.stderr.close()
sys.stderr = None
"""
PLAIN_C = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
CASES: dict[str, tuple[str, dict[str, str | None]]] = {
    "a value that is not UTF-8": (ODD_VALUES, {}),
    "a host name with a slash": (ODD_HOST, {}),
    "a user with a slash": ("", {"USER": "../../me", "LOGNAME": "../../me"}),
    "a working directory that is gone": (GONE, {}),
    "no HOME": ("", {"HOME": None, "XDG_CACHE_HOME": None}),
    "a HOME that is not there": ("", {"HOME": "/nonexistent", "XDG_CACHE_HOME": None}),
    "an empty PATH": ("", {"PATH": ""}),
    "no PATH": ("", {"PATH": None}),
    "no temporary directory": ("", {"TMPDIR": "/nonexistent"}),
    "a full temporary directory": ("", {"TMPDIR": "/dev/full"}),
    "streams that are closed": (CLOSED, {}),
    "the locale C": ("", dict(PLAIN_C)),
}


@pytest.mark.parametrize("case", CASES)
def test_t38_a_run_is_recorded_all_the_same(case: str, tmp_path: Path) -> None:
    before, changes = CASES[case]
    changed = {**os.environ, **changes}
    environment = {name: value for name, value in changed.items() if value is not None}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before), str(tmp_path / "store")],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "printed\ndone\n"
    [run] = open_store("local", tmp_path / "store", SystemClock()).runs()
    assert (run.state, run.params, run.metrics) == ("COMPLETED", {"lr": 0.1}, {"loss": 0.5})
    assert run.outputs == ["data:v1"]
    assert {path.name for path in tmp_path.iterdir()} <= {"store", "cache", "work"}
    everything = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert b"secret-" not in everything


def test_a_variable_that_goes_while_all_are_read_stops_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    value = "correct horse 4711 battery"
    monkeypatch.setenv("MY_TOKEN", value)
    told = threading.Event()

    def come_and_go() -> None:
        for number in itertools.count():
            os.environ[f"GOES_{number % 7}"] = f"before it is read {number}"
            os.environ.pop(f"GOES_{(number + 3) % 7}", None)
            if told.is_set():
                return

    for number in range(7):  # so that they are taken away again
        monkeypatch.setenv(f"GOES_{number}", "")
    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(come_and_go)
        try:
            texts = {redact_text(f"with {value} {number}") for number in range(3000)}
        finally:
            told.set()
        changing.result()
    assert texts == {f"with [redacted] {number}" for number in range(3000)}
