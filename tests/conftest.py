"""What every test gets: an empty store of its own, and no settings from outside."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from instrument import settings

ROOT = Path(__file__).resolve().parent.parent
PYTHONPATH = os.pathsep.join([str(ROOT), str(ROOT / "backends"), str(ROOT / "tests")])

# Machines are shared: how fast an example comes says nothing. CI tries the same examples each time.
hypothesis.settings.register_profile(
    "repository",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
hypothesis.settings.load_profile("repository")


@pytest.fixture(autouse=True)
def store_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty store and cache; other INSTRUMENT_* variables are gone; cwd is outside git."""
    for name in list(os.environ):
        if name.startswith(("INSTRUMENT_", "WANDB_")):
            monkeypatch.delenv(name)
    store = tmp_path / "store"
    monkeypatch.setenv("INSTRUMENT_STORE", str(store))
    for name in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    monkeypatch.setenv("NO_COLOR", "1")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    settings.is_disabled.cache_clear()
    yield store
    settings.is_disabled.cache_clear()


@pytest.fixture
def python() -> str:
    """The interpreter to start child processes with."""
    return sys.executable


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Name what fails at once: of a run that is cut off, the last lines are never printed."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\nFAILED {report.nodeid} ({report.when})", file=sys.__stdout__, flush=True)
