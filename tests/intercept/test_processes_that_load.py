"""Loads in threads, forks, spawned processes and signal handlers: none twice, none waits."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import msgspec
import pytest

_HEAD = """
import json, os, sys, threading
import torch
from instrument import ExperimentContext, current_run

FILES = [os.path.join(os.environ["DATA"], f"{n}.pt") for n in range(6)]
for n, path in enumerate(FILES):
    if not os.path.exists(path):
        torch.save([n], path)

class Files(torch.utils.data.Dataset):
    def __len__(self): return len(FILES)
    def __getitem__(self, index):
        current_run()  # a process that is spawned takes part when it asks for the run
        return torch.load(FILES[index])[0]

def reads(run):
    summary = run.store.run(run.id)
    assert summary.recording.complete, summary.recording.problems
    return sorted((os.path.basename(d["requested"]), bool(d["digest"])) for d in summary.data or ())
"""


def run(tmp_path: Path, code: str) -> Any:
    script = tmp_path / "program.py"
    script.write_text(_HEAD + textwrap.dedent(code))
    data = tmp_path / "data"
    data.mkdir()
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "DATA": str(data)},
    )
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout.splitlines()[-1])


EACH = [[f"{n}.pt", True] for n in range(6)]


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_a_data_loader_record_each_file_once(tmp_path: Path, start: str) -> None:
    found = run(
        tmp_path,
        f"""
        if __name__ == "__main__":
            with ExperimentContext(monitor_hardware=False) as run:
                loader = torch.utils.data.DataLoader(
                    Files(), num_workers=2, multiprocessing_context={start!r}
                )
                values = sorted(int(value) for value in loader)
            print(json.dumps([values, reads(run)]))
        """,
    )
    assert found == [[0, 1, 2, 3, 4, 5], EACH]


def test_threads_record_each_load_once(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        """
        from concurrent.futures import ThreadPoolExecutor
        with ExperimentContext(monitor_hardware=False) as run:
            with ThreadPoolExecutor(8) as pool:
                values = list(pool.map(lambda n: torch.load(FILES[n % 6])[0], range(60)))
        print(json.dumps([values == list(range(6)) * 10, reads(run)]))
        """,
    )
    assert found == [True, EACH]


def test_a_fork_while_another_thread_loads_and_installs_does_not_hang(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        """
        import faulthandler, warnings
        warnings.simplefilter("ignore")
        faulthandler.dump_traceback_later(90, exit=True)
        stop = threading.Event()
        def busy():
            while not stop.is_set():
                with ExperimentContext(monitor_hardware=False, name="other"):
                    for path in FILES:
                        torch.load(path)
        thread = threading.Thread(target=busy)
        with ExperimentContext(monitor_hardware=False) as run:
            thread.start()
            codes = []
            for n in range(10):
                child = os.fork()
                if child == 0:
                    torch.load(FILES[0])
                    with ExperimentContext(monitor_hardware=False, name="child"):
                        torch.load(FILES[1])
                    os._exit(0)
                codes.append(os.waitpid(child, 0)[1])
            stop.set()
            thread.join()
        print(json.dumps(codes))
        """,
    )
    assert found == [0] * 10


def test_a_signal_handler_may_load_while_a_load_is_going_on(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        """
        import faulthandler, signal
        faulthandler.dump_traceback_later(90, exit=True)
        inside = []
        def handler(*_):
            inside.append(torch.load(FILES[len(inside) % 6])[0])
        signal.signal(signal.SIGALRM, handler)
        with ExperimentContext(monitor_hardware=False) as run:
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            for _ in range(40):
                for path in FILES:
                    torch.load(path)
            signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps([len(inside) > 0, sorted({name for name, _ in reads(run)})]))
        """,
    )
    assert found == [True, [f"{n}.pt" for n in range(6)]]
