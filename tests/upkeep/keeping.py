"""Stores with something to let go, and what is left of them."""

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from instrument.cli.retention import policy
from instrument.clock import SystemClock
from instrument.protocols.upkeep import Plan, Scope
from instrument.records import (
    ArtifactLogged,
    ArtifactUsed,
    EnvironmentCaptured,
    Metrics,
    Record,
)
from instrument.testing.samples import draft, record_run
from instrument.vocabulary import ArtifactVersion
from instrument_local import LocalStore
from instrument_local.files import Disk

DAY = 24 * 3600.0


def store_at(path: Path, disk: Disk | None = None) -> LocalStore:
    return LocalStore(path, SystemClock(), disk)


def run_id(number: int) -> str:
    return f"202603{number:02d}-run"


def days_ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def add_version(
    store: LocalStore,
    name: str,
    content: bytes,
    *,
    run: str | None = None,
    loss: float | None = None,
    days: float = 10,
    **fields: Any,
) -> ArtifactVersion:
    """A version with one file, made some days ago."""
    store.put_bytes(content)
    metadata = {"metrics": {"loss": loss}} if loss is not None else {}
    fields = {"type": "checkpoint", "metadata": metadata, **fields}
    return store.claim(draft(name, content, run_id=run, created_at=days_ago(days), **fields))


def logged(version: ArtifactVersion) -> ArtifactLogged:
    return ArtifactLogged(
        ref=version.ref,
        type=version.type,
        digest=version.digest,
        size_bytes=version.size_bytes,
        check=version.check,
    )


def used(version: ArtifactVersion) -> ArtifactUsed:
    return ArtifactUsed(
        ref=version.ref, type=version.type, digest=version.digest, requested=version.ref
    )


def captured(digest: str) -> EnvironmentCaptured:
    return EnvironmentCaptured(level=1, snapshot=digest, health=())


def metric(value: float) -> Metrics:
    return Metrics(values={"loss": value}, step=0)


def add_run(store: LocalStore, number: int, *records: Record, seal: bool = True) -> str:
    record_run(store, run_id(number), *records)
    if seal:
        store.seal(run_id(number))
    return run_id(number)


def runs_with_checkpoints(store: LocalStore, count: int = 4) -> list[ArtifactVersion]:
    """Runs 1, 2 … with a version of ``ckpt`` each; the last run is the newest."""
    made = []
    for number in range(1, count + 1):
        content = b"weights %d" % number
        made.append(add_version(store, "ckpt", content, run=run_id(number), days=20 - number))
        add_run(store, number, logged(made[-1]), metric(number))
    grow_old(store)
    return made


def grow_old(store: LocalStore, days: float = 3) -> None:
    """Let all objects, unfinished files and markers be so old."""
    root = Path(store.location)
    then = time.time() - days * DAY
    for directory in ("objects", "tmp", "open", "trash"):
        for path in (root / directory).rglob("*"):
            with suppress(FileNotFoundError):  # by a writer at work
                if path.is_file():
                    os.utime(path, (then, then))


def scope(unreferenced: bool = False, **words: Any) -> Scope:
    policies = (policy(**words),) if words else ()
    return Scope(policies=policies, unreferenced=unreferenced)


def subjects(plan: Plan) -> list[str | None]:
    return [drop.subject for drop in plan.drops]


def there(store: LocalStore, versions: Iterable[ArtifactVersion]) -> list[str]:
    """References of those versions whose bytes are there."""
    return [each.ref for each in versions if all(store.contains(f.digest) for f in each.files)]


def snapshot(path: Path) -> Mapping[str, bytes]:
    """Every file of the store, but for the ledger's and the locks."""
    files = (file for file in path.rglob("*") if file.is_file())
    named = {file.relative_to(path).as_posix(): file.read_bytes() for file in files}
    return {k: v for k, v in named.items() if not k.startswith(("ledger/", "maintenance/"))}
