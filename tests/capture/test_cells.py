"""The cells that a notebook has executed are part of its code, through a real kernel."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from capture.repositories import make_repository

from instrument.capture.cells import executed_cells
from instrument.clock import SystemClock
from instrument.records import CodeCaptured
from instrument.registry import open_store

KEY = "a8f5f167f44f4964" + "e6c998dee827110c"


class Kernel:
    """A kernel that works in a repository without a notebook."""

    def __init__(self, directory: Path) -> None:
        manager: Any = pytest.importorskip("jupyter_client.manager")
        pytest.importorskip("ipykernel", reason="the kernel of the tests is not installed")
        self._kernel = manager.KernelManager(transport="ipc")  # of this interpreter
        self._kernel.start_kernel()
        self._client = self._kernel.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)
        self.run(f"%cd -q {make_repository(directory)}")

    def run(self, cell: str) -> None:
        done = self._client.execute_interactive(cell, timeout=60, output_hook=lambda _: None)
        assert done["content"]["status"] == "ok", done

    def kill(self) -> None:
        self._client.stop_channels()
        self._kernel.shutdown_kernel(now=True)


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    at_work = Kernel(tmp_path / "r")
    try:
        yield at_work
    finally:
        at_work.kill()


def test_what_was_executed_is_kept_without_its_secrets(kernel: Kernel, store_path: Path) -> None:
    kernel.run("def twice(x):\n    return 2 * x  # é")
    kernel.run(
        "from instrument import ExperimentContext\nrun = ExperimentContext(name='n').start()"
    )
    assert "cells of the notebook are kept at its end" in shown("runs", "show", "n")
    kernel.run(f'api_key = "{KEY}"\n%env DB_PASSWORD=Tr0ub4dor3xyzzyAndMore1\ntwice(3)')
    kernel.run("run.finish()")
    kernel.run("after = 1")
    cells = shown("runs", "cells", "n")
    moved, cells = cells.split("\n", 2)[1:]
    assert moved.startswith("%cd")
    assert cells == (
        "# %% [2]\ndef twice(x):\n    return 2 * x  # é\n"
        "# %% [3]\nfrom instrument import ExperimentContext\n"
        "run = ExperimentContext(name='n').start()\n"
        '# %% [4]\napi_key = "[redacted]"\n%env DB_PASSWORD=[redacted]\ntwice(3)\n'
        "# %% [5]\nrun.finish()\n"
    )
    page = " ".join(shown("runs", "show", "n").split())
    assert "clean, cells of the notebook kept (secrets removed from the cells of the" in page
    store: Any = open_store("local", store_path, SystemClock())
    [run] = store.runs()
    code = [each.record for each in store.entries(run.id) if isinstance(each.record, CodeCaptured)]
    assert [bool(each.cells) for each in code] == [False, False, True]
    assert KEY.encode() not in b"".join(msgspec.json.encode(each) for each in code)
    shown("gc", "--grace", "1h", "--yes")
    assert shown("runs", "cells", "n").endswith(cells)
    shown("verify")


def test_a_kernel_that_is_killed_leaves_a_run_that_says_what_it_lacks(kernel: Kernel) -> None:
    kernel.run("from instrument import ExperimentContext")
    kernel.run("run = ExperimentContext(name='n').start()")
    kernel.kill()
    assert "cells of the notebook not kept" in shown("runs", "show", "n")


def test_at_the_least_level_no_cells_are_kept(kernel: Kernel) -> None:
    kernel.run("from instrument import ExperimentContext")
    kernel.run("with ExperimentContext(name='n', capture_level=1): pass")
    assert "cells" not in shown("runs", "show", "n")


def test_of_too_many_cells_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shell:
        history_manager = SimpleNamespace(input_hist_raw=["", "a" * 600_000, "b" * 600_000, "c"])
        initialized = classmethod(lambda cls: True)
        instance = classmethod(lambda cls: cls())

    kernel = SimpleNamespace(InteractiveShell=Shell)
    monkeypatch.setitem(sys.modules, "IPython.core.interactiveshell", kernel)
    kept = executed_cells()
    assert kept.content == b"# %% [2]\n" + b"b" * 600_000 + b"\n# %% [3]\nc\n"
    assert kept.reason == "cells of the notebook left out: the first 1 (beyond 1 MB)"


def shown(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "instrument", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
