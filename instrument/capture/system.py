"""The machine: operating system, kernel, virtualisation and memory."""

import os
import sys
from pathlib import Path
from typing import Any

from instrument.capture.parts import NotKnown


def system(root: Path = Path("/")) -> dict[str, Any]:
    """Operating system, kernel, C library, and what the machine is.

    Args:
        root: Where the system's files lie.
    """
    name = os.uname()
    release = _os_release(root)
    return {
        "os": name.sysname,
        "kernel": name.release,
        "kernel_build": name.version,
        "machine": name.machine,
        "distribution": release.get("ID"),
        "distribution_version": release.get("VERSION_ID"),
        "libc": _libc(),
        "byte_order": sys.byteorder,
        "virtualisation": virtualisation(root),
    }


def virtualisation(root: Path) -> dict[str, Any]:
    """What the firmware and the kernel say the machine is; None where they say nothing.

    ``is_virtual`` is the processor's own word: a hypervisor sets that flag for its guests.
    """
    names = {
        "vendor": _line(root / "sys/class/dmi/id/sys_vendor"),
        "product": _line(root / "sys/class/dmi/id/product_name"),
        "hypervisor": _line(root / "sys/hypervisor/type"),
    }
    kernel = _line(root / "proc/sys/kernel/osrelease") or ""
    if names["hypervisor"] is None and "microsoft" in kernel.lower():
        names["hypervisor"] = "wsl"
    return {"is_virtual": _has_hypervisor_flag(root), **names}


def memory() -> dict[str, Any]:
    """Memory of the machine."""
    try:
        pages = os.sysconf("SC_PHYS_PAGES")
        return {"total_bytes": pages * os.sysconf("SC_PAGE_SIZE")}
    except (ValueError, OSError) as error:
        raise NotKnown("the system does not tell its memory") from error


def _has_hypervisor_flag(root: Path) -> bool | None:
    """Only x86 has the flag: elsewhere it is not known."""
    try:
        with (root / "proc/cpuinfo").open("rb", buffering=0) as opened:
            first = opened.read(8192).partition(b"\n\n")[0]
    except OSError:
        return None
    flags = next((line for line in first.splitlines() if line.startswith(b"flags")), None)
    return b"hypervisor" in flags.split() if flags is not None else None


def _os_release(root: Path) -> dict[str, str]:
    try:
        text = (root / "etc/os-release").read_text(errors="replace")
    except OSError:
        return {}
    pairs = (line.partition("=") for line in text.splitlines())
    return {key: value.strip("\"'") for key, _, value in pairs}


def _libc() -> str | None:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError, AttributeError):
        return None


def _line(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").split("\n", 1)[0].strip() or None
    except OSError:
        return None
