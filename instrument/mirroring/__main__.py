"""The process of a live mirror: ``python -m instrument.mirroring MIRROR STORE RUN [--offline]``.

Exits with 0 when the mirror has the whole run, else with 1; the last line of its output says why.
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
from instrument.mirroring.marks import directory_of
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
    where = f", written offline to {report.offline_directory}" if report.offline_directory else ""
    _tell(
        f"{report.mirror} took {report.records} records and {report.artifacts} artifacts of run "
        f"{report.run_id}{where}: {'complete' if report.complete else 'not complete'}"
    )
    for problem in reversed(report.problems):  # the first, which may explain the rest, is the end
        _tell(problem)
    return 0 if report.complete else 1


def _follow(name: str, location: Path, run_id: str, *, offline: bool) -> MirrorReport:
    store = registry.open_store("local", location, SystemClock())
    directory = directory_of(store, name)
    mirror = registry.open_mirror(name, offline=offline, directory=directory)
    report = feed(store, mirror, run_id, name=name, follow=True)
    return remember(store, report, offline=offline)


def _tell(message: str) -> None:
    sys.stderr.write(f"{SystemClock().now():%Y-%m-%d %H:%M:%S} {message}\n")


if __name__ == "__main__":
    sys.exit(main())
