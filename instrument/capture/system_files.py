"""The small files in which the kernel and the distribution tell about the machine."""

import re
from pathlib import Path
from typing import Final

_ESCAPE = re.compile(r"\\([0-7]{3})")
_CPUINFO_BYTES: Final = 8192  # one processor's lines; the kernel makes the file as it is read


def text_of(path: Path) -> str:
    """The whole file; empty when it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def line_of(path: Path) -> str | None:
    """The first line; None when there is none."""
    return text_of(path).split("\n", 1)[0].strip() or None


def cpuinfo(root: Path) -> dict[str, str]:
    """The first processor's lines of /proc/cpuinfo; none when it cannot be read."""
    try:
        with (root / "proc/cpuinfo").open("rb", buffering=0) as opened:
            text = opened.read(_CPUINFO_BYTES).decode(errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def unescaped(field: str) -> str:
    r"""A field of /proc/self/mountinfo, where a space stands as ``\040``."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)
