"""The process of a live mirror: ``python -m instrument.mirroring MIRROR STORE RUN [--offline]``.

Exits with 0 when the mirror has the whole run, else with 1.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from instrument import registry
from instrument.clock import SystemClock
from instrument.errors import InstrumentError
from instrument.mirroring.feed import MirrorReport, feed
from instrument.mirroring.sync import remember

NICENESS = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Follow one run until it has ended."""
    parser = argparse.ArgumentParser(prog="python -m instrument.mirroring")
    parser.add_argument("mirror")
    parser.add_argument("store", type=Path)
    parser.add_argument("run_id")
    parser.add_argument("--offline", action="store_true")
    options = parser.parse_args(arguments)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # `instrument run` blocks what it passes on
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)  # the run comes first
    try:
        report = _follow(options.mirror, options.store, options.run_id, offline=options.offline)
    except InstrumentError as error:
        _tell(f"error: {error}")
        return 1
    for problem in report.problems:
        _tell(problem)
    _tell(
        f"{report.mirror} has {report.records} records and {report.artifacts} artifacts of run "
        f"{report.run_id}: {'complete' if report.complete else 'not complete'}"
    )
    return 0 if report.complete else 1


def _follow(name: str, location: Path, run_id: str, *, offline: bool) -> MirrorReport:
    store = registry.open_store("local", location, SystemClock())
    mirror = registry.open_mirror(name, offline=offline)
    report = feed(store, mirror, run_id, name=name, follow=True)
    return remember(store, report, offline=offline)


def _tell(message: str) -> None:
    sys.stderr.write(f"{SystemClock().now():%Y-%m-%d %H:%M:%S} {message}\n")


if __name__ == "__main__":
    sys.exit(main())
