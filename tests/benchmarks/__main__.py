"""Measure what we cost beside our peers, in one run.

    PYTHONPATH=tests python -m benchmarks [--rows imports,tracked_run] [--rounds 5]
                                          [--peers sacred,wandb] [--here]

Only ratios taken in one run count. Nothing here fails because something is slow. The first time
takes longer: environments and large stores are made, and kept.
"""

import argparse
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from benchmarks import environments, report
from benchmarks.environments import BENCH, FLOOR, OURS, PEERS
from benchmarks.launch import adopt_orphans
from benchmarks.rounds import Results, measure
from benchmarks.row import Entrant, Row
from benchmarks.rows import (
    artifact,
    decorated_call,
    find_runs,
    first_line,
    generate_call,
    imports,
    ledger,
    load,
    many_runs,
    metric_call,
    packages,
    telemetry,
    tracked_run,
)
from benchmarks.workplace import Workplace

ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        imports.ROW,
        tracked_run.ROW,
        first_line.ROW,
        packages.ROW,
        metric_call.ROW,
        decorated_call.ROW,
        generate_call.ROW,
        many_runs.ROW,
        find_runs.ROW,
        artifact.FILE,
        artifact.TREE,
        telemetry.ROW,
        ledger.ROW,
        load.ROW,
    )
}


def main() -> None:
    options = _options()
    adopt_orphans()
    python_of = (lambda name: Path(sys.executable)) if options.here else environments.python_of
    asked = (FLOOR, OURS, *options.peers)
    needed = {each.environment for row in options.rows for each in _entrants(row, asked)}
    wanted = [name for name in asked if name in needed and _is_made(python_of, name)]
    chosen = [(row, _entrants(row, wanted)) for row in options.rows]
    place = Workplace(options.directory, python_of)
    everything = [_measure(row, place, entrants, options.rounds) for row, entrants in chosen]
    versions = [environments.version_of(name) for name in wanted]
    report.write_json(options.directory / "results.json", report.as_json(everything, versions))
    place.clear()
    seconds = sum(results.wall_seconds for results in everything)
    report.print_verdict(everything)
    print(f"\n{', '.join(versions)}\n{seconds:.0f} s; {options.directory / 'results.json'}")


def _is_made(python_of: Callable[[str], Path], name: str) -> bool:
    """Whether the environment is there: all are made before anything is measured."""
    try:
        python_of(name)
    except SystemExit as error:
        if name in (FLOOR, OURS):
            raise
        print(f"\nNOT MEASURED: {name} cannot be installed: {error}\n", file=sys.stderr)
        return False
    return True


def _measure(row: Row, place: Workplace, entrants: list[Entrant], rounds: int) -> Results:
    results = measure(row, place, entrants, rounds)
    report.print_results(results)
    return results


def _entrants(row: Row, wanted: Collection[str]) -> list[Entrant]:
    return [entrant for entrant in row.entrants if entrant.environment in wanted]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=_names(ROWS), default=list(ROWS), help="the rows to measure")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of a row, at most")
    parser.add_argument("--peers", type=_names(PEERS), default=list(PEERS), help="whom to compare")
    parser.add_argument("--here", action="store_true", help="ours alone, with this interpreter")
    parser.add_argument("--directory", type=Path, default=BENCH, help="where to work")
    options = parser.parse_args()
    options.rows = [ROWS[name] for name in options.rows]
    options.peers = [] if options.here else options.peers
    return options


def _names(known: Collection[str]) -> Callable[[str], list[str]]:
    """A parser of names, separated by commas, all of them `known`."""

    def parse(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return names

    return parse


if __name__ == "__main__":
    main()
