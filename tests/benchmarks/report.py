"""Results as tables for people and as JSON for programs."""

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.rounds import Results
from benchmarks.row import Entrant, Target


def print_results(results: Results) -> None:
    """The table of medians, then what became of each target."""
    row = results.row
    widths = [max(9, len(heading)) for heading in row.columns.values()]
    headings = "  ".join(f"{h:>{w}}" for h, w in zip(row.columns.values(), widths, strict=True))
    print(f"\n{row.name}: {row.title}")
    took = f"  medians of {len(results.rounds)}, {results.wall_seconds:.0f} s in all"
    print(f"{took:36}{headings}")
    for entrant in row.entrants:
        numbers = [results.middle(entrant.label, key) for key in row.columns]
        if any(number is not None for number in numbers):
            cells = [f"{_short(n):>{w}}" for n, w in zip(numbers, widths, strict=True)]
            print(f"  {entrant.label:34}{'  '.join(cells)}")
    for target in row.targets:
        print(f"  target: {_told(results, target)}")


def print_verdict(everything: Sequence[Results]) -> None:
    """How many targets are met, and the others."""
    told = [
        (results.row.name, _told(results, target))
        for results in everything
        for target in results.row.targets
    ]
    others = [(row, verdict) for row, verdict in told if not verdict.endswith(", met yes")]
    print(f"\n{len(told) - len(others)} of {len(told)} targets are met")
    for row, verdict in others:
        print(f"  {row}: {verdict}")


def _told(results: Results, target: Target) -> str:
    value = results.value(target)
    unit = f" x {target.against}" if target.against else ""
    limit = f"{target.entrant} {results.row.columns[target.metric]} <= {target.at_most:g}{unit}"
    if value is None:
        return f"{limit}: not measured"
    return f"{limit}: {_short(value)}, met {'yes' if value <= target.at_most else 'NO'}"


def _short(number: float | None) -> str:
    """Three digits that matter."""
    if number is None:
        return "-"
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def as_json(everything: Sequence[Results], versions: Sequence[str]) -> str:
    """All samples, medians and targets, and what they were measured on."""
    machine = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    rows = {results.row.name: _row_as_json(results) for results in everything}
    return json.dumps({"machine": machine, "versions": versions, "rows": rows}, indent=1)


def _row_as_json(results: Results) -> dict[str, Any]:
    return {
        "wall_seconds": results.wall_seconds,
        "rounds": results.rounds,
        "medians": {e.label: _medians(results, e) for e in results.row.entrants},
        "targets": [
            {**target._asdict(), "value": results.value(target)} for target in results.row.targets
        ],
    }


def _medians(results: Results, entrant: Entrant) -> dict[str, float | None]:
    return {key: results.middle(entrant.label, key) for key in results.row.columns}


def write_json(path: Path, text: str) -> None:
    """Replace the file at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
