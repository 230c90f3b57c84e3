"""The processors: model, numbers, NUMA nodes, instruction sets, and which of them may be used."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from instrument.capture.parts import NotKnown, explained
from instrument.capture.system_files import cpuinfo, line_of

_NODE = re.compile(r"node(\d+)")


def cpu(root: Path = Path("/")) -> dict[str, Any]:
    """Model and number of processors; `usable_count` is what this process may use.

    Args:
        root: Where the system's files lie.
    """
    fields = cpuinfo(root)
    cores, siblings = _number(fields.get("cpu cores")), _number(fields.get("siblings"))
    told = {
        "model": fields.get("model name") or fields.get("CPU part"),
        "vendor": fields.get("vendor_id") or fields.get("CPU implementer"),
        "microcode": fields.get("microcode"),
        "count": os.cpu_count(),
        "usable_count": len(_usable() or ()) or None,
        "cores_per_socket": cores,
        "threads_per_core": siblings // cores if siblings and cores else None,
        "governor": line_of(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "max_khz": _number(line_of(root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")),
        "numa": _numa(root),
    }
    return explained(told, "the kernel does not tell it")


def flags(root: Path = Path("/")) -> list[str]:
    """Instruction sets and features that the kernel reports."""
    fields = cpuinfo(root)
    found = fields.get("flags") or fields.get("Features")
    if found is None:
        raise NotKnown("/proc/cpuinfo does not tell the processor's flags")
    return sorted(found.split())


def affinity() -> dict[str, Any]:
    """The processors that this process may run on, such as ``0-3,8``."""
    usable = _usable()
    if usable is None:
        raise NotKnown("this system has no affinity of processes to processors")
    return {"processors": ranges(usable)}


def ranges(numbers: Iterable[int]) -> str:
    """Numbers the way the kernel lists processors.

    >>> ranges([8, 0, 1, 2, 3])
    '0-3,8'
    """
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def _numa(root: Path) -> list[dict[str, Any]] | None:
    """The memory nodes and their processors; None where the kernel does not tell them."""
    top = root / "sys/devices/system/node"
    try:
        numbers = sorted(int(m[1]) for name in os.listdir(top) if (m := _NODE.fullmatch(name)))  # noqa: PTH208 - names are wanted
    except OSError:
        return None
    return [
        {
            "node": number,
            "processors": line_of(top / f"node{number}" / "cpulist"),
            "memory_bytes": _node_memory(top / f"node{number}" / "meminfo"),
        }
        for number in numbers
    ] or None


def _node_memory(path: Path) -> int | None:
    match = re.search(r"MemTotal:\s+(\d+) kB", line_of(path) or "")
    return int(match[1]) * 1024 if match else None


def _usable() -> set[int] | None:
    ask = getattr(os, "sched_getaffinity", None)
    return ask(0) if ask else None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None
