"""``instrument runs telemetry``: a plot of each reading, and the forms that programs read."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from instrument.cli.hardware import label_of, rank_of, value_of
from instrument.cli.output import table
from instrument.cli.words import duration
from instrument.summary import RunSummary
from instrument.telemetry.columns import Columns

if TYPE_CHECKING:
    from instrument.cli.output import Table

_BARS: Final = "▁▂▃▄▅▆▇█"
_WIDTH: Final = 40
_DEVICE: Final = re.compile(r"(gpu|torch)\.(\d+(?:\.mig\.\d+)?)\.(.+)")


def telemetry_table(columns: Columns) -> "Table":
    """Each reading over time, with its least and greatest value."""
    rows = []
    for name in sorted(columns.readings, key=rank_of):
        values = columns.readings[name]
        known = [value for value in values if value is not None]
        low, high = value_of(name, min(known)), value_of(name, max(known))
        rows.append([label_of(name), low, sparkline(values), high, value_of(name, known[-1])])
    headings = ["reading", "min", f"over {duration(columns.elapsed_seconds[-1])}", "max", "last"]
    return table(headings, rows, numeric=("min", "max", "last"))


def sparkline(values: Sequence[float | None]) -> str:
    """`values` as bars between their least and greatest; a space where nothing is known.

    >>> sparkline([0, 1, None, 7])
    '▁▂ █'
    """
    known = [value for value in values if value is not None]
    low, high = min(known), max(known)
    step = max(1.0, len(values) / _WIDTH)
    bars = []
    for column in range(min(_WIDTH, len(values))):
        part = values[int(column * step) : max(int((column + 1) * step), int(column * step) + 1)]
        here = [value for value in part if value is not None]
        share = (max(here) - low) / (high - low) if here and high > low else 0.0
        bars.append(_BARS[round(share * (len(_BARS) - 1))] if here else " ")
    return "".join(bars)


def phases_table(phases: Mapping[str, Mapping[str, Any]]) -> "Table":
    """The phases of a run: how long, and what the processor, the memory and the GPUs did."""
    rows = []
    for path, phase in phases.items():
        readings = phase["readings"]
        passes = f"{phase['count']}" + (f" + {phase['open']} open" if phase["open"] else "")
        busy = _mean_of(readings, r"gpu\.[\d.mig]+\.utilization_percent")
        rows.append(
            [
                path,
                passes,
                duration(phase["duration_seconds"]),
                duration(phase["cpu_seconds"]),
                _of(readings, "process.memory_bytes", "max"),
                "-" if busy is None else f"{busy:.1f} %",
            ]
        )
    headings = ["phase", "passes", "took", "CPU", "memory max", "GPU mean"]
    return table(headings, rows, numeric=headings[1:])


def csv_text(columns: Columns) -> str:
    """One line a sample; an empty cell where nothing is known."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["elapsed_seconds", *columns.readings])
    writer.writerows(zip(columns.elapsed_seconds, *columns.readings.values(), strict=True))
    return out.getvalue()


def prometheus_text(run: RunSummary, columns: Columns) -> str:
    """The newest value of each reading in the text format that Prometheus reads.

    For the textfile collector of its node exporter: no port is opened, and no time stands in it,
    since the collector refuses those.
    """
    families: dict[str, list[str]] = {}
    for name, values in columns.readings.items():
        if values[-1] is None:
            continue
        match = _DEVICE.fullmatch(name)
        labels = {"run": run.id, "name": run.name, "project": run.project or ""}
        if match:
            labels[{"gpu": "gpu", "torch": "device"}[match[1]]] = match[2]
            name = f"{match[1]}.{match[3]}"  # noqa: PLW2901 - the family of all devices
        family = "instrument_" + re.sub(r"[^a-zA-Z0-9_]", "_", name)
        told = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items())
        families.setdefault(family, []).append(f"{family}{{{told}}} {values[-1]!r}")
    return "".join(
        f"# TYPE {family} gauge\n" + "\n".join(lines) + "\n"
        for family, lines in sorted(families.items())
    )


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _of(readings: Mapping[str, Mapping[str, float]], name: str, which: str) -> str:
    return value_of(name, readings[name][which]) if name in readings else "-"


def _mean_of(readings: Mapping[str, Mapping[str, float]], pattern: str) -> float | None:
    means = [r["mean"] for name, r in readings.items() if re.fullmatch(pattern, name)]
    return sum(means) / len(means) if means else None
