"""What artifacts cost: memory, imports, and a progress bar only where one is wanted."""

import io
import subprocess
import sys

import pytest

from instrument import ExperimentContext, progress
from instrument.naming import Reference
from instrument.progress import Progress
from instrument.vocabulary import ArtifactVersion
from instrument_local import LocalStore

LOG_LARGE = """
import resource, sys
import numpy as np
from instrument import ArtifactManager

def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

manager = ArtifactManager()
manager.log_artifact("small", data={kind}(1000))
value = {kind}(32 << 20)
before = peak_mib()
manager.log_artifact("large", data=value)
print(peak_mib() - before)
"""


@pytest.mark.parametrize("kind", ["np.ones", "__import__('torch').ones"])
def test_a_large_value_is_not_held_twice(python: str, kind: str) -> None:
    """The values are 128 and 256 MiB large."""
    if "torch" in kind:
        pytest.importorskip("torch")
    program = LOG_LARGE.replace("{kind}", kind)
    done = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True)
    assert float(done.stdout) < 100


HEAVY = ["torch", "numpy", "pandas", "pyarrow", "polars", "safetensors", "rich", "asyncio"]


def test_nothing_heavy_is_imported(python: str) -> None:
    program = (
        "import sys, instrument.artifacts, instrument.lineage\n"
        "from instrument.artifacts import log_value, use\n"
        "from instrument.clock import SystemClock\n"
        "from instrument.testing.memory import MemoryBackend\n"
        "store = MemoryBackend()\n"
        "log_value(store, name='a', type='other', data={'x': [1, 'y']}, clock=SystemClock())\n"
        "assert use(store, 'a').load() == {'x': [1, 'y']}\n"
        f"print([name for name in {HEAVY} if name in sys.modules])\n"
    )
    done = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_the_store_is_asked_for_each_parent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, resolve = [], LocalStore.resolve

    def counting(store: LocalStore, reference: Reference) -> ArtifactVersion:
        asked.append(str(reference))
        return resolve(store, reference)

    with ExperimentContext(monitor_hardware=False, capture_level=1) as run:
        raw = run.log_artifact("raw", "dataset", data=[1])
        clean = run.log_artifact("clean", "dataset", data=[2])
        monkeypatch.setattr(LocalStore, "resolve", counting)
        model = run.log_artifact("model", "model", data=[3], parent_artifacts=["raw", clean.ref])
    assert model.parents == (raw.ref, clean.ref)
    assert asked == ["raw:latest", "clean:v1"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stderr", "patience", "shown"),
    [
        (Terminal(), 0.0, True),
        (Terminal(), 60.0, False),
        (io.StringIO(), 0.0, False),
        (None, 0.0, False),
    ],
)
def test_a_bar_is_for_people_who_wait(
    monkeypatch: pytest.MonkeyPatch, stderr: io.StringIO | None, patience: float, *, shown: bool
) -> None:
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", patience)
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR")
    with Progress("storing data", lambda: 3) as bar:
        for _ in range(3):
            bar.advance(1)
    assert ("storing data" in (stderr.getvalue() if stderr else "")) is shown
