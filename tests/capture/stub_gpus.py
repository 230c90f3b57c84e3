"""Programs run beside two GPUs that are not there: the real nvidia-ml-py over a stub library."""

import json
import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).with_name("nvml_stub.c")

needs_stub = pytest.mark.skipif(
    shutil.which("gcc") is None or find_spec("pynvml") is None,
    reason="needs gcc and nvidia-ml-py",
)


def build_stub(directory: Path) -> Path:
    """The directory of a ``libnvidia-ml.so.1`` made from the stub."""
    directory.mkdir(parents=True, exist_ok=True)
    library = directory / "libnvidia-ml.so.1"
    command = ["gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True)
    return directory


def run_beside(python: str, stub: Path | None, program: str, **settings: str) -> Any:
    """What `program` prints as JSON, in a process of its own."""
    environment = {**os.environ, **settings}
    environment["LD_LIBRARY_PATH"] = str(stub) if stub else ""
    done = subprocess.run(
        [python, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
