"""The hardware of a run for people: the run's own processes first, the whole machine last."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from instrument.cli.output import table
from instrument.cli.words import duration, size, value_text

if TYPE_CHECKING:
    from rich.console import RenderableType

_MOST_ROWS: Final = 24
_SHORT_SECONDS: Final = 1.0
_GROUPS: Final = ("tree", "process", "gpu", "torch", "cgroup", "host", "cpu", "disk", "network")
_HOST_WIDE: Final = ("disk", "network")
# How the name of a reading ends, without its unit; and its value with the unit.
_UNITS: Final = (
    ("_bytes_per_second", lambda value: f"{size(int(value))}/s"),
    ("_bytes", lambda value: size(int(value))),
    ("_percent", lambda value: f"{value:.1f} %"),
    ("_seconds", duration),
    ("_watts", lambda value: f"{value:.1f} W"),
    ("_celsius", lambda value: f"{value:.0f} °C"),
    ("_joules", lambda value: f"{value:,.0f} J".replace(",", " ")),
    ("_mhz", lambda value: f"{value:.0f} MHz"),
)
_COUNTED: Final = re.compile(r"_(peak_bytes|seconds|joules)$")
_KNOWN_OF_SHORT_RUNS: Final = re.compile(r"(memory_peak_bytes|cpu_seconds)$")


def hardware_table(
    readings: Mapping[str, Mapping[str, float]], duration_seconds: float | None
) -> "RenderableType":
    """What the processes of the run, the GPUs and the host did.

    Args:
        readings: ``mean`` and ``max`` by the name of the reading.
        duration_seconds: How long the run took. Of a run that is over before there are samples
            only what the system counted is shown.
    """
    names = sorted(readings, key=rank_of)
    if duration_seconds is not None and duration_seconds < _SHORT_SECONDS:
        names = [name for name in names if _KNOWN_OF_SHORT_RUNS.search(name)]
    rows = [[label_of(name), *_values(name, readings[name])] for name in names[:_MOST_ROWS]]
    if len(names) > _MOST_ROWS:
        rows.append(["…", f"+{len(names) - _MOST_ROWS}", "--json"])
    return table(["reading", "mean", "max"], rows, numeric=("mean", "max"))


def label_of(name: str) -> str:
    """The name of a reading in words.

    >>> label_of("disk.read_bytes_per_second")
    'host disk read'
    """
    ending = next((ending for ending, _ in _UNITS if name.endswith(ending)), "")
    words = re.sub(r"[._]", " ", name.removesuffix(ending))
    return f"host {words}" if name.partition(".")[0] in _HOST_WIDE else words


def rank_of(name: str) -> tuple[int, str]:
    """Where a reading stands among others: the run's own processes first."""
    group = name.partition(".")[0]
    return (_GROUPS.index(group) if group in _GROUPS else len(_GROUPS)), name


def _values(name: str, reading: Mapping[str, Any]) -> tuple[str, str]:
    """Mean and greatest value; what is counted once for the whole run has no mean."""
    mean = "" if _COUNTED.search(name) else value_of(name, reading.get("mean"))
    return mean, value_of(name, reading.get("max"))


def value_of(name: str, value: float | None) -> str:
    """The value of a reading with its unit."""
    if value is None:
        return "-"
    worded = next((worded for ending, worded in _UNITS if name.endswith(ending)), None)
    return worded(value) if worded is not None else value_text(float(value))
