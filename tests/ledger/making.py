"""Stores with a ledger, and ways to edit them."""

from pathlib import Path
from typing import Any

from cli.support import Result, call

from instrument.clock import SystemClock
from instrument.naming import parse_reference
from instrument.protocols.ledger import Evidence, LedgerVerification
from instrument.records import Metrics
from instrument.testing.samples import AT, draft, record_run
from instrument_local import LocalStore
from instrument_local.files import Disk

RUNS = ("20260304-050607-000000000001", "20260304-050608-000000000002")


def store_at(path: Path, disk: Disk | None = None) -> LocalStore:
    return LocalStore(path, SystemClock(), disk)


def add_run(store: LocalStore, run_id: str) -> None:
    record_run(store, run_id, Metrics(values={"loss": 0.5}, step=0))
    store.seal(run_id)


def filled(path: Path) -> LocalStore:
    """Two sealed runs and an alias; nothing is in the ledger yet."""
    store = store_at(path)
    for run_id in RUNS:
        add_run(store, run_id)
    store.put_bytes(b"weights")
    store.claim(draft("model", b"weights", run_id=RUNS[1]))
    store.tag(parse_reference("model:v1"), "best", AT)
    return store


def verify(store: LocalStore, evidence: Evidence | None = None) -> LedgerVerification:
    return store.ledger.verify(evidence or Evidence())


def kinds(result: LedgerVerification) -> set[str]:
    return {each.kind for each in result.problems}


def forget(path: Path) -> None:
    """Lose what this user saw of any ledger."""
    for seen in (path.parent / "state").rglob("*.json"):
        seen.unlink()


def files(path: Path) -> list[Path]:
    """All files of the ledger."""
    return sorted(file for file in (path / "ledger").rglob("*") if file.is_file())


def rebuild(path: Path, lines: list[bytes]) -> None:
    """Make the ledger anew from `lines`, as somebody does who knows how."""
    from instrument_local.layout import Layout
    from instrument_local.ledger.log import Log

    for file in (*(path / "ledger/entries").iterdir(), *(path / "ledger/heads").iterdir()):
        file.unlink()
    Log(Layout(path, SystemClock(), Disk())).append(lines)


def lines(path: Path) -> list[bytes]:
    (block,) = (path / "ledger/entries").iterdir()
    return block.read_bytes().splitlines()


def ledger(*arguments: object, code: int = 0, **options: Any) -> Result:
    """``instrument ledger`` with `arguments`, which exits with `code`."""
    done = call("ledger", *arguments, **options)
    assert done.code == code, done
    assert "Traceback" not in done.err
    return done
