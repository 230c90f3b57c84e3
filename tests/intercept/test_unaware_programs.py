"""``instrument run`` of programs that know nothing of it: recorded without a change, left as is."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instrument.startup import variables

numpy = pytest.importorskip("numpy", reason="numpy is not installed: there is nothing to load")
safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")

LOADS = """
from safetensors.numpy import load_file
load_file({weights!r})
"""


@pytest.fixture
def weights(tmp_path: Path) -> str:
    path = tmp_path / "w.safetensors"
    safetensors.save_file({"a": numpy.zeros(3)}, path)
    return str(path)


@pytest.fixture
def script(tmp_path: Path, weights: str) -> Callable[[str], Path]:
    def write(text: str, name: str = "train.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text).replace("LOADS", LOADS.format(weights=weights)))
        return path

    return write


def instrument(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "instrument", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def recorded(*command: Any, options: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """The run of `command`."""
    done = instrument("run", "--level", "1", *options, "--", *command, **more)
    shown = instrument("runs", "show", "latest", "--json")
    run: dict[str, Any] = json.loads(shown.stdout)
    return run | {"done": done}


def loads(run: dict[str, Any]) -> list[str]:
    return [load["loader"] for load in run["models"] or []]


def test_what_is_loaded_is_recorded(script: Callable[..., Path], weights: str) -> None:
    run = recorded(sys.executable, script("LOADS"))
    assert loads(run) == ["safetensors.numpy.load_file"]
    digest = subprocess.run(["sha256sum", weights], capture_output=True, text=True, check=True)
    assert run["models"][0]["digest"] == f"sha256:{digest.stdout.split()[0]}"
    assert (run["state"], run["exit_code"]) == ("COMPLETED", 0)
    assert run["recording"]["complete"]


def test_no_import_waits_for_what_the_recorder_imports(script: Callable[..., Path]) -> None:
    """With numpy there is something to read, in a thread that imports what reads it."""
    path = script(
        """
        import _imp, sys
        waiting = sys.meta_path.pop(0)
        import numpy
        sys.meta_path.insert(0, waiting)
        from instrument import automatic
        take_part = automatic.take_part
        automatic.take_part = lambda **how: (print(_imp.lock_held()), take_part(**how))
        LOADS
        print(type(sys.modules["safetensors"].__loader__).__name__)
        """
    )
    run = recorded(sys.executable, path)
    assert run["done"].stdout.split() == ["False", "SourceFileLoader"]
    assert (run["recording"]["complete"], run["recording"]["problems"]) == (True, [])
    assert run["seeds"]["flags"]["math_libraries"] is not None
    assert loads(run) == ["safetensors.numpy.load_file"]


@pytest.mark.parametrize(
    "first",
    [
        "import random, numpy as np",
        pytest.param("import sklearn.linear_model", marks=pytest.mark.slow),
    ],
)
def test_the_order_of_imports_leaves_the_record_whole(
    script: Callable[..., Path], first: str
) -> None:
    for name in ("sklearn", "torch"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    seeded = "torch.manual_seed(7)\ntorch.use_deterministic_algorithms(True)"
    run = recorded(sys.executable, script(f"{first}\nimport torch\n{seeded}\nLOADS"))
    assert (run["recording"]["complete"], run["recording"]["problems"]) == (True, [])
    flags = run["seeds"]["flags"]
    assert flags["math_libraries"], "of the end"
    assert flags["torch.deterministic_algorithms"] is True, "of the end"
    assert flags["torch.initial_seed"] == 7
    assert "random" in run["seeds"]["states"], "of the start"
    assert "the program gave torch 7" in instrument("runs", "show", "latest").stdout
    assert loads(run) == ["safetensors.numpy.load_file"]


@pytest.mark.parametrize("how", ["lazily", "again"])
def test_other_ways_to_load_what_is_waited_for(script: Callable[..., Path], how: str) -> None:
    script("def f(): return 7", "waited.py")
    path = script(
        """
        import importlib.util, sys
        spec = importlib.util.find_spec("waited")
        print("instrument" in sys.modules)
        if sys.argv[1] == "lazily":
            spec.loader = importlib.util.LazyLoader(spec.loader)
        module = sys.modules["waited"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if sys.argv[1] == "again":
            module = importlib.reload(module)
        print(module.f(), type(module.__loader__).__name__, "instrument" in sys.modules)
        """
    )
    environment = {**os.environ, **variables(os.environ, ["waited"])}
    command = [sys.executable, str(path), how]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["False", "7", "SourceFileLoader", "True"]


@pytest.mark.parametrize("how", ["-c", "-m"])
def test_modules_and_commands(script: Callable[..., Path], how: str) -> None:
    path = script("LOADS")
    what = path.read_text() if how == "-c" else "train"
    assert loads(recorded(sys.executable, how, what, cwd=path.parent)) == [
        "safetensors.numpy.load_file"
    ]


def test_an_exception_and_the_exit_code(script: Callable[..., Path]) -> None:
    run = recorded(sys.executable, script("LOADS\nraise ValueError('boom')"))
    assert (run["state"], run["exit_code"]) == ("FAILED", 1)
    assert run["exception"] == {"type": "builtins.ValueError", "message": "boom"}
    assert "ValueError: boom" in run["done"].stderr
    assert recorded(sys.executable, script("LOADS\nraise SystemExit(7)"))["exit_code"] == 7


def test_a_signal_ends_it_as_ever(script: Callable[..., Path]) -> None:
    text = "LOADS\nimport os, signal\nos.kill(os.getpid(), signal.SIGTERM)"
    run = recorded(sys.executable, script(text))
    assert run["done"].returncode == 128 + signal.SIGTERM
    assert run["state"] == "INTERRUPTED"
    assert loads(run) == ["safetensors.numpy.load_file"]


def test_the_program_sees_nothing_of_it(script: Callable[..., Path]) -> None:
    path = script(
        """
        import json, sys
        print(json.dumps([sys.path, sys.argv, "sitecustomize" in sys.modules,
                          sorted(n for n in sys.modules if n.startswith("instrument"))]))
        """
    )
    bare = subprocess.run([sys.executable, path, "x"], capture_output=True, text=True, check=True)
    run = recorded(sys.executable, path, "x")
    assert json.loads(run["done"].stdout) == json.loads(bare.stdout)


def test_the_users_own_sitecustomize_runs(script: Callable[..., Path], tmp_path: Path) -> None:
    own = script("import sys\nsys.own_customisation = __file__", "own/sitecustomize.py")
    path = script("import sys, sitecustomize\nprint(sys.own_customisation)\nLOADS")
    environment = {**os.environ, "PYTHONPATH": str(own.parent)}
    run = recorded(sys.executable, path, env=environment)
    assert run["done"].stdout.strip() == str(own)
    assert loads(run) == ["safetensors.numpy.load_file"]


def test_a_context_of_the_programs_own_is_the_run(script: Callable[..., Path]) -> None:
    path = script(
        """
        LOADS
        from instrument import ExperimentContext
        with ExperimentContext(name="own", monitor_hardware=False) as run:
            run.log_metrics({"loss": 1.0})
            LOADS
        """.replace("            LOADS", "            load_file(sys.argv[1])").replace(
            "        LOADS", "        import sys\n        from safetensors.numpy import load_file"
        )
    )
    weights = str(path.with_name("w.safetensors"))
    run = recorded(sys.executable, path, weights)
    assert run["name"] == "own"
    assert run["metrics"] == {"loss": 1.0}
    assert loads(run) == ["safetensors.numpy.load_file"]
    listed = json.loads(instrument("runs", "list", "--json").stdout)
    assert len(listed) == 1


def test_processes_below_it(script: Callable[..., Path]) -> None:
    """A launcher that loads something itself does not take the run from what it starts."""
    inner = script(
        """
        LOADS
        from instrument import ExperimentContext
        ExperimentContext(name="inner", monitor_hardware=False).start()
        """,
        "inner.py",
    )
    outer = script(
        f"LOADS\nimport subprocess, sys\nsubprocess.run([sys.executable, {str(inner)!r}])"
    )
    run = recorded(sys.executable, outer)
    assert loads(run) == ["safetensors.numpy.load_file"] * 2
    assert run["name"] == "inner"
    assert len(json.loads(instrument("runs", "list", "--json").stdout)) == 1


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_multiprocessing(script: Callable[..., Path], method: str) -> None:
    path = script(
        f"""
        import multiprocessing, sys
        from safetensors.numpy import load_file

        def work(path):
            load_file(path)

        if __name__ == "__main__":
            with multiprocessing.get_context({method!r}).Pool(2) as pool:
                pool.map(work, [sys.argv[1], sys.argv[2]], chunksize=1)
                pool.close()
                pool.join()
        """
    )
    first = path.with_name("w.safetensors")
    second = Path(shutil.copy(first, path.with_name("v.safetensors")))
    run = recorded(sys.executable, path, first, second)
    assert run["exit_code"] == 0, run["done"].stderr
    assert set(loads(run)) == {"safetensors.numpy.load_file"}
    assert {load["requested"] for load in run["models"]} == {str(first), str(second)}


def test_what_isolates_itself_is_said(script: Callable[..., Path]) -> None:
    run = recorded(sys.executable, "-I", script("LOADS"))
    assert run["models"] is None
    assert any("-I isolates it" in note for note in run["recording"]["notes"])
    assert run["state"] == "COMPLETED"


def test_a_shell_that_starts_python(script: Callable[..., Path]) -> None:
    run = recorded("sh", "-c", f"{sys.executable} {script('LOADS')}")
    assert loads(run) == ["safetensors.numpy.load_file"]
    assert not any("not that of the command" in note for note in run["recording"]["notes"])


def test_another_python_without_instrument(script: Callable[..., Path], tmp_path: Path) -> None:
    venv.create(tmp_path / "other", with_pip=False)
    other = tmp_path / "other" / "bin" / "python"
    run = recorded(other, script("import sys; print(sys.prefix)"))
    assert run["done"].stdout.strip() == str(tmp_path / "other")
    assert run["done"].stderr.count("\n") == 0
    assert any("runs in another interpreter" in note for note in run["recording"]["notes"])


def test_another_python_tells_its_environment(script: Callable[..., Path], tmp_path: Path) -> None:
    venv.create(tmp_path / "other", with_pip=False)
    other = tmp_path / "other" / "bin" / "python"
    site = next((tmp_path / "other" / "lib").glob("python*/site-packages"))
    paths = [path for path in sys.path if "site-packages" in path]
    root = Path(__file__).resolve().parents[2]
    (site / "more.pth").write_text("\n".join([*paths, str(root), str(root / "backends")]))
    metadata = site / "onlythere-1.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: onlythere\nVersion: 1.0\n")
    level = ("--level", "2")
    own = recorded(sys.executable, script("pass"), options=level)["environment"]
    run = recorded(other, script("pass"), options=level)
    assert run["environment"] is not None
    assert run["environment"] != own
    assert not any("not that of the command" in note for note in run["recording"]["notes"])


def test_a_disabled_recorder_leaves_the_command_alone(script: Callable[..., Path]) -> None:
    path = script("import os\nprint(os.environ.get('PYTHONPATH'))")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = instrument(
        "run", "--", sys.executable, path, env={**environment, "INSTRUMENT_MODE": "disabled"}
    )
    assert done.stdout.strip() == "None"
