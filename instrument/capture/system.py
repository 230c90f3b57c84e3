"""The machine: operating system, processor, memory, and the file system that is worked on."""

import os
import re
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

from instrument.capture.parts import NotKnown
from instrument.redaction import printable

_CPUINFO: Final = Path("/proc/cpuinfo")
_CPUINFO_BYTES: Final = 8192  # one processor's lines; the kernel makes the file as it is read
_ESCAPE = re.compile(r"\\([0-7]{3})")


def system() -> dict[str, Any]:
    """Operating system, kernel and C library."""
    name = os.uname()
    release = _os_release()
    return {
        "os": name.sysname,
        "kernel": name.release,
        "kernel_build": name.version,
        "machine": name.machine,
        "distribution": release.get("ID"),
        "distribution_version": release.get("VERSION_ID"),
        "libc": _libc(),
        "byte_order": sys.byteorder,
    }


def cpu() -> dict[str, Any]:
    """Model and number of processors; `usable_count` is what this process may use."""
    fields = _cpuinfo()
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "model": fields.get("model name") or fields.get("CPU part"),
        "count": os.cpu_count(),
        "usable_count": len(affinity(0)) if affinity else None,
        "cores_per_socket": _number(fields.get("cpu cores")),
    }


def cpu_flags() -> list[str]:
    """Instruction sets and features that the kernel reports."""
    fields = _cpuinfo()
    flags = fields.get("flags") or fields.get("Features")
    if flags is None:
        raise NotKnown(f"{_CPUINFO} does not tell the processor's flags")
    return sorted(flags.split())


def memory() -> dict[str, Any]:
    """Memory of the machine."""
    try:
        pages = os.sysconf("SC_PHYS_PAGES")
        return {"total_bytes": pages * os.sysconf("SC_PAGE_SIZE")}
    except (ValueError, OSError) as error:
        raise NotKnown("the system does not tell its memory") from error


def disk() -> dict[str, Any]:
    """File system of the working directory."""
    try:
        directory = os.path.realpath(os.getcwd())  # noqa: PTH109 - a string is wanted
    except OSError as error:
        raise NotKnown("the working directory was removed") from error
    holding = [m for m in _mounts() if f"{directory}/".startswith(m.point.rstrip("/") + "/")]
    if not holding:
        raise NotKnown("no mount point holds the working directory")
    # The deepest one counts, and of several on one point the last.
    mount = max(enumerate(holding), key=lambda pair: (len(pair[1].point), pair[0]))[1]
    return {"file_system": mount.kind, "options": sorted(mount.options)}


class _Mount(NamedTuple):
    """One mounted file system."""

    point: str
    kind: str
    options: set[str]


def _mounts() -> list[_Mount]:
    """What is mounted, in order (proc_pid_mountinfo(5))."""
    try:
        text = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    except OSError as error:
        raise NotKnown("/proc/self/mountinfo is not readable") from error
    mounts = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        point = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4])
        options = {*fields[5].split(","), *rest[2].split(",")}
        mounts.append(_Mount(point, rest[0], {printable(option) for option in options}))
    return mounts


def _cpuinfo() -> dict[str, str]:
    """The first processor's lines of /proc/cpuinfo."""
    try:
        with _CPUINFO.open("rb", buffering=0) as opened:
            text = opened.read(_CPUINFO_BYTES).decode(errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _os_release() -> dict[str, str]:
    try:
        text = Path("/etc/os-release").read_text(errors="replace")
    except OSError:
        return {}
    pairs = (line.partition("=") for line in text.splitlines())
    return {key: value.strip("\"'") for key, _, value in pairs}


def _libc() -> str | None:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError, AttributeError):
        return None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None
