"""What the cells of a notebook print, through a real kernel."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from instrument.cli.console import printed
from instrument.clock import SystemClock
from instrument.registry import open_store

OPEN = "run = ExperimentContext(name='first', capture_level=1).start()"


@pytest.fixture(scope="module")
def kernel() -> Iterator[Callable[[str], str]]:
    """Runs one cell after the other in a kernel, and gives what each prints."""
    manager: Any = pytest.importorskip("jupyter_client.manager")
    pytest.importorskip("ipykernel", reason="the kernel of the tests is not installed")
    at_work = manager.KernelManager(transport="ipc")  # of this interpreter
    at_work.start_kernel()
    client = at_work.blocking_client()
    client.start_channels()

    def run(cell: str) -> str:
        shown: list[str] = []

        def show(message: dict[str, Any]) -> None:
            content = message["content"]
            shown.append(content.get("text", "") + "\n".join(content.get("traceback", ())))

        client.execute_interactive(cell, timeout=60, output_hook=show)
        return "".join(shown)

    try:
        client.wait_for_ready(timeout=60)
        run("from instrument import ExperimentContext")
        yield run
    finally:
        client.stop_channels()
        at_work.shutdown_kernel(now=True)


@pytest.fixture
def store(kernel: Callable[[str], str], store_path: Path) -> Any:
    kernel(f"%env INSTRUMENT_STORE={store_path}")
    return lambda: open_store("local", store_path, SystemClock())


def test_what_each_cell_prints_is_kept_once(kernel: Callable[[str], str], store: Any) -> None:
    assert kernel(f"{OPEN}; print('one')") == "one\n"
    assert kernel("print('two')") == "two\n"
    assert kernel("import sys; print('three', file=sys.stderr)") == "three\n"
    kernel("run.finish()")
    assert kernel("print('nobody listens')") == "nobody listens\n"
    kernel("with ExperimentContext(name='second', capture_level=1): print('four')")
    lines = {run.name: text(store(), run.id) for run in store().runs()}
    assert lines == {"first": ["one", "two", "three"], "second": ["four"]}


def text(store: Any, run_id: str) -> list[str]:
    return [line for piece in printed(store, run_id) for line in piece.text.splitlines()]
