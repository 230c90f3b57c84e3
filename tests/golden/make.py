"""Makes the golden store of this format: ``python tests/golden/make.py``, from the repository.

Run once for each format that was released, and never again: what is committed beside this file is
what every later version must read. It has one of everything, in a few KB, with fixed ids and times.
"""

import hashlib
import shutil
import sys
import unittest.mock
import uuid
from pathlib import Path
from typing import Final

from instrument.naming import parse_reference
from instrument.records import (
    FORMAT_VERSION,
    ArtifactLogged,
    ArtifactUsed,
    EnvironmentCaptured,
    Metrics,
    Params,
    RunFinished,
)
from instrument.testing import FakeClock
from instrument.testing.samples import AT, draft, process_started, record_run, run_started
from instrument.vocabulary import File, RunState
from instrument_local import LocalStore

HERE: Final = Path(__file__).parent
STORE_ID: Final = uuid.UUID("00000000-0000-4000-8000-000000000001")
RUNS: Final = ("20260304-050607-0000000000a1", "20260304-050608-0000000000b2", "20260304-crashed")


def fill(path: Path) -> None:
    """A store with an object, versions, aliases, a packed, a sealed and an interrupted run."""
    store = LocalStore(path, FakeClock())
    snapshot = store.put_bytes(b'{"level":1,"packages":{"torch":"2.5.0"}}')
    store.put_bytes(b"weights")
    model = store.claim(draft("model", b"weights", run_id=RUNS[0]))
    store.put_bytes(b"left")
    store.put_bytes(b"right")
    store.claim(draft("model", b"left", parents=("model:v1",), metadata={"accuracy": 0.5}))
    _tree(store)
    store.tag(parse_reference("model:v1"), "best", AT)
    logged = ArtifactLogged(ref="model:v1", type="model", digest=model.digest, size_bytes=7)
    captured = EnvironmentCaptured(level=1, snapshot=snapshot, health=())
    params = Params(values={"lr": 0.1, "layers": [1, 2], "name": "modèle"}, source="config")
    record_run(store, RUNS[0], run_started("packed"), params, captured, logged)
    store.seal(RUNS[0])
    store.pack(everything=True)
    used = ArtifactUsed(ref="model:v1", type="model", digest=model.digest, requested="model:best")
    metrics = (
        Metrics(values={"loss": 1 / (step + 1), "nan": "NaN"}, step=step) for step in range(3)
    )
    record_run(store, RUNS[1], run_started("sealed", "a", "b"), used, *metrics)
    store.seal(RUNS[1])
    again = store.begin(process_started(RUNS[1], attempt=2))
    again.take(RunFinished(state=RunState.FAILED, duration_seconds=2.0, exit_code=1), AT)
    again.close()
    store.seal(RUNS[1])
    record_run(store, RUNS[2], Metrics(values={"loss": 9.0}, step=0), finish=False)
    (torn,) = path.glob(f"runs/*/{RUNS[2]}/*.jsonl")
    torn.write_bytes(torn.read_bytes() + b'{"seq":2,"at":')
    store.ledger.integrate()
    store.ledger.checkpoint()


def _tree(store: LocalStore) -> None:
    names = {"a/left.txt": b"left", "right.txt": b"right"}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in names.items()}
    listing = "".join(f"{digests[name]}  {name}\n" for name in sorted(names))
    files = tuple(
        File(path=name, digest=f"sha256:{digests[name]}", size_bytes=len(names[name]))
        for name in sorted(names)
    )
    digest = f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"
    store.claim(
        draft("data", b"", digest=digest, files=files, size_bytes=9, is_tree=True, type="dataset")
    )


def main() -> None:
    """Make it, unless it is there."""
    path = HERE / f"format-{FORMAT_VERSION}"
    if path.exists():
        sys.exit(f"{path} is there, and what was released never changes")
    with unittest.mock.patch("uuid.uuid4", return_value=STORE_ID):
        fill(path)
    tidy(path)


def tidy(path: Path) -> None:
    """Leave what git is to keep."""
    for name in ("tmp", "open", "maintenance"):
        shutil.rmtree(path / name, ignore_errors=True)
    (path / ".gitignore").unlink()  # it would keep git from keeping the rest


if __name__ == "__main__":
    main()
