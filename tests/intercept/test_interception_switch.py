"""Interception on and off: what it imports, when it sees a library, what it says of versions."""

import importlib
import subprocess
import sys
import textwrap
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instrument import intercept


def run(code: str, *paths: Path) -> Any:
    """What a program prints, as JSON; it finds modules in `paths`."""
    head = f"import sys; sys.path[:0] = {[str(path) for path in paths]!r}\n"
    program = head + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return msgspec.json.decode(done.stdout.splitlines()[-1])


_RECORDS = """
import json, sys
from instrument import ExperimentContext
def told(run):
    kinds = {"ModelLoaded", "DataRead"}
    return [e.record for e in run.store.entries(run.id) if type(e.record).__name__ in kinds]
"""


def test_a_run_imports_no_library_and_no_wrapt(tmp_path: Path) -> None:
    loaded = run(
        _RECORDS
        + """
        with ExperimentContext(monitor_hardware=False) as run:
            import json.tool
        watched = {"torch", "transformers", "safetensors", "pandas", "numpy", "wrapt"}
        print(json.dumps(sorted(watched & set(sys.modules))))
        """.replace("\n        ", "\n")
    )
    assert loaded == []


@pytest.mark.parametrize("order", ["before", "inside", "between"])
def test_a_library_is_seen_whenever_it_is_imported(order: str, tmp_path: Path) -> None:
    place = {"before": 0, "between": 1, "inside": 2}[order]
    lines = ["", "", ""]
    lines[place] = "from safetensors.numpy import load_file, save_file"
    counts = run(
        _RECORDS
        + f"""
path = {str(tmp_path / "x.safetensors")!r}
{lines[0]}
with ExperimentContext(monitor_hardware=False) as first:
    pass
{lines[1]}
with ExperimentContext(monitor_hardware=False) as second:
    {lines[2] or "pass"}
    import numpy, safetensors.numpy
    save_file({{"a": numpy.zeros(3)}}, path)
    load_file(path)
with ExperimentContext(monitor_hardware=False) as third:
    safetensors.numpy.load_file(path)
print(json.dumps([
    len(told(second)), len(told(third)),
    safetensors.numpy.load_file is load_file,
    type(load_file).__name__,
    third.store.run(third.id).recording.notes,
]))
"""
    )
    assert counts == [1, 1, True, "function", []]


def test_threads_that_import_at_once_neither_wait_nor_miss_anything(tmp_path: Path) -> None:
    found = run(
        _RECORDS
        + f"""
import faulthandler, threading
from instrument.intercept.diverting import is_diverted
faulthandler.dump_traceback_later(60, exit=True)
problems = []
def bring(name):
    try:
        __import__(name)
    except BaseException as error:
        problems.append(repr(error))
names = ["safetensors.numpy", "safetensors", "wrapt", "pandas", "numpy", "safetensors.numpy"]
with ExperimentContext(monitor_hardware=False) as run:
    threads = [threading.Thread(target=bring, args=(name,)) for name in names]
    for thread in threads: thread.start()
    with ExperimentContext(monitor_hardware=False, name="inner"):
        pass
    for thread in threads: thread.join()
    import numpy, pandas, safetensors
    safetensors.numpy.save_file({{"a": numpy.zeros(3)}}, {str(tmp_path / "x")!r})
    safetensors.numpy.load_file({str(tmp_path / "x")!r})
    kinds = [type(safetensors.safe_open).__name__, is_diverted(pandas.read_csv)]
print(json.dumps([problems, len(told(run)), kinds, run.store.run(run.id).recording.notes]))
"""
    )
    assert found == [[], 1, ["CallWrapper", True], []]


@pytest.fixture
def old_library(tmp_path: Path) -> Path:
    package = tmp_path / "old" / "safetensors"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "__version__ = '0.3.9'\ndef safe_open(path): return path\n"
    )
    return package.parent


@pytest.mark.parametrize("order", ["before", "inside"])
def test_a_version_outside_the_range_is_left_alone_and_noted(order: str, old_library: Path) -> None:
    found = run(
        _RECORDS
        + f"""
{"import safetensors" if order == "before" else ""}
with ExperimentContext(monitor_hardware=False) as run:
    import safetensors
    safetensors.safe_open("x")
summary = run.store.run(run.id)
print(json.dumps([type(safetensors.safe_open).__name__, summary.recording.notes,
                  summary.recording.complete, len(told(run))]))
""",
        old_library,
    )
    note = "interception of safetensors skipped: version 0.3.9 is outside 0.4 … below 1"
    assert found == ["function", [note], True, 0]


def test_a_call_that_is_not_there_is_told_and_the_others_are_wrapped(tmp_path: Path) -> None:
    package = tmp_path / "new" / "safetensors"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("__version__ = '0.9'\n")
    (package / "numpy.py").write_text("def load_file(filename): return {}\n")
    found = run(
        _RECORDS
        + """
with ExperimentContext(monitor_hardware=False) as run:
    import safetensors.numpy
    safetensors.numpy.load_file("x")
print(json.dumps([run.store.run(run.id).recording.problems, len(told(run))]))
""",
        package.parent,
    )
    (problems, count) = found
    assert [problem for problem in problems if "safetensors.safe_open" in problem]
    assert [problem for problem in problems if "safetensors.numpy.load " in problem]
    assert len(problems) == 2
    assert count == 1


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """An installed package that adds an interceptor, and the library that it is for."""
    site = tmp_path / "site"
    info = site / "stranger-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[instrument.interceptors]\nshelf = stranger:LIBRARY\n")
    (site / "shelf.py").write_text(
        "__version__ = '2.1'\ndef fetch(path):\n    with open(path) as file: return file.read()\n"
    )
    (site / "stranger.py").write_text(
        "from instrument.intercept import Library, Target\n"
        "from instrument.intercept.loads import LoadCall\n"
        "LIBRARY = Library('shelf', (2,), (3,), {'shelf': 'stranger'})\n"
        "FETCH = LoadCall('data', 'shelf.fetch', 'path', file=True)\n"
        "TARGETS = (Target('shelf', 'fetch', FETCH),)\n"
    )
    return site


@pytest.mark.parametrize("early", [True, False])
def test_a_package_adds_an_interceptor_by_an_entry_point(
    stranger: Path, tmp_path: Path, early: bool
) -> None:
    (tmp_path / "data.txt").write_text("hello")
    found = run(
        _RECORDS
        + f"""
import threading
from instrument.intercept.worker import worker
{"import shelf" if early else ""}
with ExperimentContext(monitor_hardware=False) as run:
    ready = threading.Event()
    worker.submit(ready.set)
    ready.wait(20)
    import shelf
    assert shelf.fetch({str(tmp_path / "data.txt")!r}) == "hello"
with ExperimentContext(monitor_hardware=False) as again:
    shelf.fetch({str(tmp_path / "data.txt")!r})
(read,) = told(run)
print(json.dumps([read.reader, read.library, len(told(again)), type(shelf.fetch).__name__]))
""",
        stranger,
    )
    assert found == ["shelf.fetch", "shelf 2.1", 1, "function"]


def test_an_interceptor_that_does_not_load_is_told_and_harms_nothing(stranger: Path) -> None:
    (stranger / "stranger.py").write_text("raise RuntimeError('broken')\n")
    found = run(
        _RECORDS
        + """
import threading
from instrument.intercept.worker import worker
with ExperimentContext(monitor_hardware=False) as run:
    ready = threading.Event()
    worker.submit(ready.set)
    ready.wait(20)
    import shelf
print(json.dumps(run.store.run(run.id).recording.problems))
""",
        stranger,
    )
    (problem,) = found
    assert "an interceptor cannot be loaded: broken" in problem


def test_a_module_is_found_although_interception_ends_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another thread does while Python goes through the finders."""

    class Ends:
        def find_spec(self, *_: object) -> None:
            intercept.uninstall()

    class Late:
        """As editable installs have it: behind Python's own."""

        def find_spec(self, name: str, *_: object) -> Any:
            return PathFinder.find_spec(name, [str(tmp_path)])

    (tmp_path / "found_late.py").write_text("")
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Ends(), Late()])
    intercept.install(None)
    try:
        assert importlib.import_module("found_late").__name__ == "found_late"
    finally:
        sys.modules.pop("found_late", None)
