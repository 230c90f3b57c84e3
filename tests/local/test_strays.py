"""What somebody puts into a store by mistake, of any kind and name, stops nobody and is told."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from instrument.clock import SystemClock
from instrument.records import Metrics
from instrument.testing.samples import draft, record_run
from instrument_local import LocalStore, open_store

RUN = "20260304-run"
NO_UTF8 = os.fsdecode(b"\xc3\xa9\xff")
PLACES = (
    *(f"ledger/pending/{name}" for name in ("notes", "~", "a~", "~a.json", NO_UTF8)),
    *(f"runs/{name}" for name in ("202699", "notes", NO_UTF8)),
    *(f"runs/202603/{name}" for name in ("20260305-run", "a run", NO_UTF8, "n" * 200)),
    *(f"runs/202603/{RUN}/{name}" for name in ("run.1.json", "notes", NO_UTF8)),
    *(f"artifacts/{name}" for name in ("v1.json", NO_UTF8)),
    *(f"artifacts/model/{name}" for name in ("v0.json", "best@0.json", "notes", NO_UTF8)),
    *(f"objects/{name}" for name in ("ab", "notes", NO_UTF8)),
    *(f"{top}/{NO_UTF8}" for top in ("packs", "open", "ledger", "ledger/entries", "maintenance")),
)
KINDS: dict[str, Callable[[Path], object]] = {
    "file": lambda path: path.write_bytes(b"junk"),
    "directory": Path.mkdir,
    "link": lambda path: path.symlink_to("nowhere"),
    "pipe": os.mkfifo,
}


def _again(store: LocalStore) -> LocalStore:
    """The store as another process finds it."""
    return open_store(Path(store.location), SystemClock())


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    """A version and a sealed run; every directory of a store is there."""
    store = open_store(store_path, SystemClock())
    store.put_bytes(b"weights")
    store.claim(draft("model", b"weights"))
    record_run(store, RUN, Metrics(values={"loss": 0.5}, step=0))
    store.seal(RUN)
    store.ledger.integrate()
    for name in ("open", "packs", "maintenance"):
        (store_path / name).mkdir(mode=0o700, exist_ok=True)
    assert store.verify().problems == ()
    return store


@pytest.mark.parametrize("place", PLACES, ids=ascii)
def test_a_stray_is_told_and_stops_nobody(store: LocalStore, place: str) -> None:
    for number, (kind, put) in enumerate(KINDS.items()):
        path = Path(store.location, place)
        put(path)
        told = _again(store).verify().problems
        is_empty = kind == "directory" and place.startswith(("artifacts/", "runs/", "objects/ab"))
        assert told or is_empty, kind
        record_run(_again(store), f"{RUN}-{number}", Metrics(values={"loss": 1.0}, step=0))
        _again(store).seal(f"{RUN}-{number}")
        assert {run.id for run in _again(store).runs()} >= {RUN, f"{RUN}-{number}"}
        content = b"weights %d" % number
        _again(store).put_bytes(content)
        assert _again(store).claim(draft("model", content)).version == number + 2
        for step in _again(store).repair().steps:
            assert step.error is None, step
        if os.path.lexists(path):
            path.rmdir() if kind == "directory" else path.unlink()
        assert _again(store).ledger.integrate() >= 0
