"""COUNT entries into a ledger, its root again, and its check: ``ledger.py NAME COUNT``.

The floor hashes each entry once and writes and reads the bytes in one file.
"""

import hashlib
import os
import sys
import time
from pathlib import Path

from benchmarks.scenarios.tell import tell

STORE = Path(os.environ["BENCH_STORE"]) / "ledger"
Seconds = dict[str, float]


def entries(count: int) -> list[bytes]:
    """Entries as large as those of sealed runs; those would be looked for in the store."""
    line = (
        b'{"event":"exported","at":"2026-11-21T07:49:15Z","who":{"user":"ann","uid":1000,'
        b'"host":"node-17"},"why":null,"bundle":"sha256:%064x","runs":["20261121-074915-%012x"]}'
    )
    return [line % (number, number) for number in range(count)]


def floor(lines: list[bytes]) -> Seconds:
    """One file, each entry hashed once."""
    STORE.mkdir()
    path = STORE / "entries"
    started = time.perf_counter()
    with path.open("wb") as stream:
        stream.write(b"\n".join(lines))
        stream.flush()
        os.fsync(stream.fileno())
    appended = time.perf_counter()
    for line in path.read_bytes().split(b"\n"):
        hashlib.sha256(line).digest()
    return {"append": appended - started, "root": time.perf_counter() - appended}


def instrument(lines: list[bytes]) -> Seconds:
    """The ledger's own files; the check decodes every entry."""
    from instrument.clock import SystemClock
    from instrument.protocols.ledger import Evidence
    from instrument_local.files import Disk
    from instrument_local.layout import Layout
    from instrument_local.ledger.local import LocalLedger
    from instrument_local.ledger.log import Log
    from instrument_local.ledger.tree import Range, leaf_hash

    layout = Layout(STORE.absolute(), SystemClock(), Disk())
    layout.create()
    log, tree = Log(layout), Range()
    started = time.perf_counter()
    written = log.append(lines)
    appended = time.perf_counter()
    for part in log.read():
        tree.extend(map(leaf_hash, part))
    if tree.root() != written.root():
        raise SystemExit("the entries do not give the root again")
    rooted = time.perf_counter()
    found = LocalLedger(layout).verify(Evidence())
    if found.verdict != "ok-unanchored" or found.size != len(lines):
        raise SystemExit(f"{found.verdict}, {found.size} entries, {found.problems[:3]}")
    verified = time.perf_counter() - rooted
    return {"append": appended - started, "root": rooted - appended, "verify": verified}


def main(name: str, count: int) -> None:
    for what, seconds in {"floor": floor, "instrument": instrument}[name](entries(count)).items():
        tell(f"{what}_us", seconds / count * 1e6)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
