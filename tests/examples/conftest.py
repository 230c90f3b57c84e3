"""Runs the examples as a person does, each test module in a store of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from instrument import registry
from instrument.clock import SystemClock
from instrument.protocols import Store

ROOT = Path(__file__).parents[2]
Script: TypeAlias = Callable[..., str]


@pytest.fixture(scope="module")
def examples_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store in which the examples of one test module record."""
    return tmp_path_factory.mktemp("examples") / "store"


@pytest.fixture(scope="module")
def script(examples_store: Path) -> Script:
    """Runs an example, or ``-m instrument``, and gives its output; any other end is a failure."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("INSTRUMENT_")
    }
    environment |= {
        "INSTRUMENT_STORE": str(examples_store),
        "OMP_NUM_THREADS": "1",  # in small models threads wait for each other
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")]),
        "XDG_CACHE_HOME": str(examples_store.parent / "cache"),
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=examples_store.parent,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "instrument: " not in done.stderr  # where the recorder says what it could not do
        return done.stdout

    return run


@pytest.fixture
def examples(examples_store: Path) -> Store:
    """What the examples recorded."""
    return registry.open_store("local", examples_store, SystemClock())
