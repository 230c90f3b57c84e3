"""COUNT entries into a ledger, and its root from the files again: ``ledger.py NAME COUNT``.

The floor hashes each entry once and writes and reads the bytes in one file.
"""

import hashlib
import os
import sys
import time
from pathlib import Path

from benchmarks.scenarios.tell import tell

STORE = Path("ledger-store")


def entries(count: int) -> list[bytes]:
    """Entries as those of sealed runs."""
    line = (
        b'{"event":"run_sealed","at":"2026-11-21T07:49:15Z","who":{"user":"ann","uid":1000,'
        b'"host":"node-17"},"why":null,"run_id":"20261121-074915-%012x","seal":"run.json",'
        b'"digest":"sha256:%064x","check":"%064x"}'
    )
    return [line % (number, number, number) for number in range(count)]


def floor(lines: list[bytes]) -> tuple[float, float]:
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
    return appended - started, time.perf_counter() - appended


def instrument(lines: list[bytes]) -> tuple[float, float]:
    """The ledger's own files."""
    from instrument.clock import SystemClock
    from instrument_local.files import Disk
    from instrument_local.layout import Layout
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
    return appended - started, time.perf_counter() - appended


def main(name: str, count: int) -> None:
    append, root = {"floor": floor, "instrument": instrument}[name](entries(count))
    tell("append_us", append / count * 1e6)
    tell("root_us", root / count * 1e6)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
